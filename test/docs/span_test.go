package docs

import (
	"regexp"
	"slices"
	"strings"
)

// variables of ib-kubernetes that are named because nothing reads them.
var unread = []string{"DAEMON_SM_PLUGIN_PATH"}

// othersFlags are flags of other programs that pages name by themselves.
var othersFlags = strings.Fields("--as --server-side --set --daemon --pidfile")

var (
	flagInCode     = regexp.MustCompile(`^(--[a-z][a-z-]+)(?:[= ].*)?$`)
	variableInCode = regexp.MustCompile(`^((?:UFM|IBFABRIC|DAEMON|GUID_POOL)_[A-Z_]+)(?:=.*)?$`)
	valueInCode    = regexp.MustCompile(`^([a-z]\w*(?:\.[a-zA-Z]\w*)+)(?:=.*)?$`)
)

// faultsOfSpan is what is wrong with code within a line that is a flag, a variable or a value
// of the chart.
func (c *checker) faultsOfSpan(span string) []string {
	if m := flagInCode.FindStringSubmatch(span); m != nil {
		if slices.Contains(othersFlags, m[1]) {
			return nil
		}
		for _, p := range [][]string{
			{"ibfabric-controller"}, {"ufm-sim"}, {"ibfabric-cni", "install"}, {"ibfabric-cni", "doctor"}, {"ibfabric-cni", "gc"}, {"ibfabric"},
		} {
			if hasFlag(c.helpOf(p[0], p[1:]...), m[1]) {
				return nil
			}
		}
		for _, name := range commands(c.helpOf("ibfabric")) {
			if hasFlag(c.helpOf("ibfabric", name), m[1]) {
				return nil
			}
		}
		if hasFlag(c.helpOf("ibfabric", "ufm", "secret"), m[1]) || hasFlag(c.helpOf("ibfabric", "ufm", "cert"), m[1]) {
			return nil
		}
		return []string{"no program has " + m[1]}
	}
	if m := variableInCode.FindStringSubmatch(span); m != nil {
		return c.variable(m[1])
	}
	if m := valueInCode.FindStringSubmatch(span); m != nil && !c.literals[m[1]] {
		if first, _, _ := strings.Cut(m[1], "."); len(c.values.Properties[first].Properties) > 0 {
			return c.value(m[1])
		}
	}
	return nil
}

var ourVariable = regexp.MustCompile(`^(UFM|IBFABRIC|DAEMON|GUID_POOL)_`)

// variable is one that a program reads, if its name is of our kind.
func (c *checker) variable(name string) []string {
	switch {
	case !ourVariable.MatchString(name), c.literals[name], slices.Contains(unread, name):
	case regexp.MustCompile(`(?m)\b` + name + `$`).MatchString(c.helpOf("ibfabric-controller")):
	default:
		return []string{"nothing reads the variable " + name}
	}
	return nil
}
