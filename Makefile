# "make help" lists the targets. All they need is Go and a POSIX sh; "make lint"
# fetches its linter through the Go module proxy.

GO ?= go
FUZZTIME ?= 10s
SOAKTIME ?= 10m
POWERCUT ?= full
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
PLATFORMS = linux/arm64 linux/386 linux/arm darwin/amd64 darwin/arm64 windows/amd64 windows/386 freebsd/amd64 openbsd/amd64 netbsd/amd64

# The race detector needs cgo, and so a C compiler. Without one, the tests run all the same.
RACE := $(shell $(GO) list -race ./spoolfiles >/dev/null 2>&1 && echo -race)

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z]*\):.* ## /\1\t/p' Makefile | expand -t 10

# Without cgo: with it, the agent would be linked with the C library for the
# sake of host names that it never looks up, and take twice as long to start.
# Without symbols and debugging information: it starts a tenth sooner.
.PHONY: build
build: ## build bin/agent
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags="-s -w" -buildvcs=auto -o bin/agent ./cmd/agent

.PHONY: demo
demo: build ## show the main job from end to end, in a directory of its own
	@sh configs/demo.sh

.PHONY: test
test: ## run the tests that need nothing but Go and a POSIX sh; a few minutes
	$(GO) test -short $(TESTFLAGS) $$($(GO) list ./... | grep -v -e '/queue$$' -e '/agent$$' -e '/spoolfiles')
	$(GO) test -short $(RACE) $(TESTFLAGS) ./queue ./agent ./spoolfiles/...

.PHONY: tools
tools: ## run the tests that need strace, Python, Node, other shells, git, NATS; and the long forms of the others
	$(GO) test -tags 'tools long' -timeout 30m $(TESTFLAGS) ./queue ./spoolfiles/... ./configs/... ./test/protocol ./test/stress
	cd test/nats && $(GO) test $(TESTFLAGS) ./...

.PHONY: root
root: ## run the tests that need root: other users, mounts, permissions
	$(GO) test -tags 'tools root' $(TESTFLAGS) -run 'Root|Other|Foreign|Mount|User|Owner|Unwritable' ./configs/... ./test/protocol ./agent ./spoolfiles

.PHONY: portable
portable: ## run the tests of the core on what other systems than Linux use
	$(GO) test -short -tags portable $(TESTFLAGS) ./queue ./spoolfiles/... ./agent/...

.PHONY: bench
bench: ## measure what is promised, each figure against its floor; BENCHFLAGS=-short for a quick look
	$(GO) test -run '^$$' -bench . -benchtime 1x -timeout 1h $(BENCHFLAGS) ./test/bench

.PHONY: fault
fault: ## kill the real process at every file-system call, one after another; FAULTFLAGS=-short for a spread
	$(GO) test -tags tools -count 1 -timeout 2h -v $(FAULTFLAGS) ./test/crash

.PHONY: soak
soak: ## run one agent for fifty projects under all kinds of trouble, for SOAKTIME
	SPOOL_SOAK=$(SOAKTIME) $(GO) test -tags long -count 1 -run TestSoak -timeout 0 -v ./test/soak

.PHONY: powercut
powercut: ## cut the power of ext4, xfs and btrfs on a recorded disk, as root; POWERCUT=short for a spread of the cuts
	SPOOL_POWERCUT=$(POWERCUT) $(GO) test -tags powercut -count 1 -parallel 4 -timeout 1h -v ./test/powercut

.PHONY: mutants
mutants: ## build agents with deliberate faults and require that cuts of the power find each, as root; some minutes
	$(GO) test -tags powercut -count 1 -parallel 3 -timeout 1h -v ./test/mutants

.PHONY: scale
scale: ## one agent with 1,000 projects, and with 5,000 beyond the watch limit; some minutes
	SPOOL_SCALE=full $(GO) test -tags long -count 1 -timeout 1h -v ./test/scale

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
	$(GO) vet -tags powercut ./test/powercut ./test/mutants
	cd test/powercut/recorder && $(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...

.PHONY: cross
cross: ## build and vet for the other platforms
	@for platform in $(PLATFORMS); do \
		echo "$$platform"; \
		export CGO_ENABLED=0 GOOS=$${platform%/*} GOARCH=$${platform#*/}; \
		$(GO) build ./... && $(GO) vet ./... || exit 1; \
	done

.PHONY: clean
clean: ## remove what was built and measured
	rm -rf bin .bench
