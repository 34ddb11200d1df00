package service

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// launchdPlist is the LaunchAgent for a spec, logging to that file.
func launchdPlist(spec Spec, log string) (string, error) {
	if err := spec.check(); err != nil {
		return "", err
	}
	var b strings.Builder
	entry := func(indent, key, value string) {
		fmt.Fprintf(&b, "%s<key>%s</key>\n%s%s\n", indent, xmlText(key), indent, value)
	}
	text := func(s string) string { return "<string>" + xmlText(s) + "</string>" }

	b.WriteString(`<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<!-- Written by 'agent install', which also replaces it. -->
<plist version="1.0">
<dict>
`)
	entry("\t", "Label", text(Name))
	b.WriteString("\t<key>ProgramArguments</key>\n\t<array>\n")
	for _, arg := range append([]string{spec.Binary}, spec.Args...) {
		b.WriteString("\t\t" + text(arg) + "\n")
	}
	b.WriteString("\t</array>\n")
	if len(spec.Env) > 0 {
		b.WriteString("\t<key>EnvironmentVariables</key>\n\t<dict>\n")
		for _, name := range slices.Sorted(maps.Keys(spec.Env)) {
			entry("\t\t", name, text(spec.Env[name]))
		}
		b.WriteString("\t</dict>\n")
	}
	entry("\t", "RunAtLoad", "<true/>")
	entry("\t", "KeepAlive", "<true/>")
	entry("\t", "ThrottleInterval", "<integer>1</integer>")
	entry("\t", "ExitTimeOut", "<integer>10</integer>")
	entry("\t", "ProcessType", "<string>Background</string>")
	entry("\t", "Umask", "<integer>63</integer>") // 077
	entry("\t", "SoftResourceLimits", "<dict><key>NumberOfFiles</key><integer>65536</integer></dict>")
	entry("\t", "StandardOutPath", text(log))
	entry("\t", "StandardErrorPath", text(log))
	b.WriteString("</dict>\n</plist>\n")
	return b.String(), nil
}

// plistBinary is the program that a plist of ours starts.
func plistBinary(plist string) string {
	_, rest, _ := strings.Cut(plist, "<key>ProgramArguments</key>")
	_, rest, _ = strings.Cut(rest, "<string>")
	word, _, _ := strings.Cut(rest, "</string>")
	return fromXMLText(word)
}

// xmlText writes a text in XML. What XML cannot say at all, check has refused.
// (Package encoding/xml would do it too, and make every start of the agent,
// for every drop, a little slower.)
func xmlText(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&apos;").Replace(s)
}

func fromXMLText(s string) string {
	return strings.NewReplacer("&lt;", "<", "&gt;", ">", "&quot;", `"`, "&apos;", "'", "&amp;", "&").Replace(s)
}
