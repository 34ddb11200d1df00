# "make help" lists the targets. "make build" needs Go and a POSIX sh; "make lint"
# fetches its linter through the Go module proxy.

GO ?= go
PREFIX ?= $(if $(filter 0,$(shell id -u)),/usr/local,$(HOME)/.local)
FUZZTIME ?= 10s
SOAKTIME ?= 10m
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
PLATFORMS = linux/arm64 linux/386 linux/arm darwin/amd64 darwin/arm64 windows/amd64 windows/386 \
	freebsd/amd64 openbsd/amd64 netbsd/amd64

# The build tags of tests that "make test" leaves out: they need other programs,
# root, minutes, or a systemd.
TAGS = tools,root,long,systemd,powercut,clients
# Directories with a go.mod of their own.
MODULES = test/nats test/powercut/recorder

# Where goroutines share something, the race detector watches. It needs cgo, and
# so a C compiler. Without one, the tests run all the same. The others are built
# like the agent that they run, so that most packages are compiled once.
CONCURRENT = ./queue/... ./spoolfiles/... ./agent/...
OTHERS = ./cmd/... ./configs/... ./service/... ./internal/... ./test/...
RACE := $(shell $(GO) list -race ./spoolfiles >/dev/null 2>&1 && echo -race)

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z]*\):.* ## /\1\t/p' Makefile | expand -t 10

# Without cgo: with it, the programs would be linked with the C library for the
# sake of host names that it never looks up, and take twice as long to start.
# Without symbols and debugging information: they start a tenth sooner.
.PHONY: build
build: ## build bin/spool-agent, which is bin/agent as well, and bin/spool-hook
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags="-s -w" -buildvcs=auto -o bin/ ./cmd/agent ./cmd/spool-hook
	@ln -f bin/agent bin/spool-agent

.PHONY: install
install: build ## install into PREFIX/bin: /usr/local for root, else ~/.local; DESTDIR is put before it
	@sh configs/install.sh install bin '$(DESTDIR)$(PREFIX)/bin'

.PHONY: uninstall
uninstall: ## remove what "make install" has installed
	@sh configs/install.sh uninstall bin '$(DESTDIR)$(PREFIX)/bin'

.PHONY: demo
demo: build ## show the main job from end to end, in a directory of its own
	@sh configs/demo.sh

.PHONY: test
test: ## run the tests that need neither root nor more programs than README names
	$(GO) test -short -vet off $(RACE) $(TESTFLAGS) $(CONCURRENT)
	CGO_ENABLED=0 $(GO) test -short -vet off $(TESTFLAGS) $(OTHERS)

.PHONY: tools
tools: ## run the tests that need other shells, awks, Node, Python, script(1) or strace
	$(GO) test -tags tools -count 1 $(TESTFLAGS) ./cmd/... ./configs/... ./internal/... ./test/protocol ./test/stress

.PHONY: root
root: ## run the tests that need root: they mount, and act as other users
	$(GO) test -tags tools,root -count 1 -run '^TestRoot' $(TESTFLAGS) ./...

.PHONY: systemd
systemd: ## prove the service with a systemd that is cut off from the machine; needs root
	$(GO) test -tags systemd -count 1 -run '^TestService$$' $(TESTFLAGS) ./cmd/agent

.PHONY: portable
portable: ## test the core as other systems than Linux build it
	$(GO) test -short -tags portable $(TESTFLAGS) ./queue ./spoolfiles/... ./agent/...

.PHONY: fault
fault: ## kill the real process at every file-system call, one after another; needs strace; FAULTFLAGS=-short for a spread
	$(GO) test -tags tools -count 1 -timeout 1h -v $(FAULTFLAGS) ./test/crash

.PHONY: powercut
powercut: ## cut the power of ext4, xfs and btrfs on a recorded disk, as root; POWERCUT=short for a spread of the cuts
	SPOOL_POWERCUT=$(POWERCUT) $(GO) test -tags powercut -count 1 -parallel 4 -timeout 1h -v ./test/powercut

.PHONY: mutants
mutants: ## build agents with deliberate faults and require that cuts of the power find each, as root; some minutes
	$(GO) test -tags powercut -count 1 -parallel 2 -timeout 1h -v ./test/mutants

.PHONY: soak
soak: ## run one agent for fifty projects under all kinds of trouble, for SOAKTIME
	SPOOL_SOAK=$(SOAKTIME) $(GO) test -tags long -count 1 -timeout 0 -v ./test/soak

.PHONY: scale
scale: ## one agent with 1,000 projects, and with 5,000 beyond the watch limit; some minutes
	$(GO) test -tags long -count 1 -timeout 1h -v $(SCALEFLAGS) ./test/scale

.PHONY: nats
nats: ## bring every signal to a broker, NATS JetStream, exactly once
	cd test/nats && $(GO) test -count 1 $(TESTFLAGS) .

.PHONY: clients
clients: ## run the real AI tools, installed with npm, against a fake model; some minutes
	$(GO) test -tags clients -count 1 -timeout 30m -v ./test/clients

.PHONY: bench
bench: ## measure what is promised; BENCHFLAGS=-short for a quick look
	$(GO) test -run '^$$' -bench . -benchtime 1x -timeout 1h $(BENCHFLAGS) ./test/bench

.PHONY: fuzz
fuzz: ## run each fuzz target for FUZZTIME
	@$(GO) list ./... | while read -r pkg; do \
		targets=$$($(GO) test -list '^Fuzz' $$pkg) || exit 1; \
		for target in $$(echo "$$targets" | grep '^Fuzz'); do \
			echo "$$pkg $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$pkg || exit 1; \
		done; \
	done

.PHONY: lint
lint: ## check the form: gofmt, go vet, staticcheck
	@unformatted=$$(gofmt -l .); test -z "$$unformatted" || { echo "not formatted: $$unformatted"; exit 1; }
	$(GO) vet ./...
	$(GO) vet -tags $(TAGS) ./...
	$(GO) vet -tags man ./cmd/agent
	$(GO) run $(STATICCHECK) -tags $(TAGS) ./...
	@for module in $(MODULES); do \
		echo "$$module"; \
		(cd "$$module" && $(GO) vet ./... && $(GO) run $(STATICCHECK) ./...) || exit 1; \
	done

.PHONY: cross
cross: ## build and vet for the other platforms
	@for platform in $(PLATFORMS); do \
		echo "$$platform"; \
		export CGO_ENABLED=0 GOOS=$${platform%/*} GOARCH=$${platform#*/}; \
		$(GO) build -trimpath ./... && $(GO) vet -trimpath ./... || exit 1; \
	done

.PHONY: release
release: ## build what is released, into dist: archives, packages, checksums; MAINTAINER='NAME <ADDRESS>'
	MAINTAINER='$(MAINTAINER)' sh packaging/release.sh

.PHONY: package
package: ## prove the Debian package in dist with a systemd that is cut off from the machine; needs root
	$(GO) test -tags systemd -count 1 -run '^TestPackage$$' $(TESTFLAGS) ./cmd/agent

.PHONY: clean
clean: ## remove what was built and measured
	rm -rf bin dist .bench
