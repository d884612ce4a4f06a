// Package broken has networks that cannot be meant like this, for the tests of all who read
// networks: the controller, and admission at the door.
package broken

import (
	"strings"

	"github.com/ibfabric/ibfabric/controller/attach"
)

// Network is a NAD, and the part of the message about it that names the mend.
type Network struct {
	Config      string
	Annotations map[string]string
	Mend        string
}

// Keyed is the config of a network with that JSON as its pkey.
func Keyed(raw string) string { return `{"type":"ib-sriov","pkey":` + raw + `}` }

// Networks are what the parser refuses, by what is wrong with them.
func Networks() map[string]Network {
	all := map[string]Network{}
	for name, f := range annotated() {
		all[name] = Network{Config: Keyed(`"0x5"`), Annotations: map[string]string{f[0]: f[1]}, Mend: f[2]}
	}
	for name, f := range configs() {
		all[name] = Network{Config: f[0], Mend: f[1]}
	}
	return all
}

// annotated are the annotations of a sound config: key, value and mend.
func annotated() map[string][3]string {
	return map[string][3]string{
		"unknown membership":   {attach.MembershipAnnotation, "half", "write full or limited"},
		"also names nonsense":  {attach.AlsoAnnotation, "Storage!", "write a PKey as 0x20 or the name of a Partition"},
		"also in decimal":      {attach.AlsoAnnotation, "20", "did you mean 0x14 (that is decimal 20) or 0x20?"},
		"also a trailing part": {attach.AlsoAnnotation, "0x20,", "write it as storage:limited,0x20"},
		"also the same":        {attach.AlsoAnnotation, "0x0005", "name it once"},
		"index0 as yes":        {attach.Index0Annotation, "yes", `write "true" or "false"`},
		"pkey and a partition": {attach.PartitionAnnotation, "tenant", "remove one of them"},
	}
}

// configs are the config and the mend.
func configs() map[string][2]string {
	const range1 = "use 0x1 to 0x7ffe"
	const hex = `write it as a string of hex, as in "0x1000"`
	return map[string][2]string{
		"decimal text":            {Keyed(`"1000"`), "did you mean 0x3e8 (that is decimal 1000) or 0x1000?"},
		"hex without 0x":          {Keyed(`"abc"`), "did you mean 0xabc?"},
		"the top bit":             {Keyed(`"0x8001"`), "write 0x1 and say the membership apart"},
		"a typing error":          {Keyed(`"x0x5"`), "write it in hex, as in 0x1000"},
		"zero":                    {Keyed(`"0x0"`), range1},
		"the management key":      {Keyed(`"0x7fff"`), range1},
		"a number out of range":   {Keyed(`70000`), range1},
		"a negative number":       {Keyed(`-1`), hex},
		"a fraction":              {Keyed(`1.5`), hex},
		"a number with exponent":  {Keyed(`1e3`), hex},
		"pkey as a list":          {Keyed(`["0x5"]`), hex},
		"pkey as an object":       {Keyed(`{"0x5":1}`), hex},
		"pkey as a bool":          {Keyed(`true`), hex},
		"not JSON":                {`{"type":"ib-sriov","pkey":`, "mend the text near"},
		"JSON and more":           {Keyed(`"0x5"`) + "}", "mend the text near"},
		"a list for a config":     {`[` + Keyed(`"0x5"`) + `]`, `write {"type":"ib-sriov",…}`},
		"doubled keys":            {`{"type":"ib-sriov","pkey":"0x5","pkey":"0x6"}`, `"pkey" stands there 2 times; leave one of them`},
		"doubled in another case": {`{"type":"ib-sriov","pkey":"0x5","PKey":"0x6"}`, `"pkey" stands there 2 times; leave one of them`},
		"doubled by an escape":    {`{"type":"ib-sriov","pkey":"0x5","pk\u0065y":"0x6"}`, `"pkey" stands there 2 times; leave one of them`},
		"two plugins of ours":     {`{"plugins":[` + Keyed(`"0x5"`) + `,` + Keyed(`"0x6"`) + `]}`, "are both ib-sriov; leave one of them"},
		"plugins as an object":    {`{"plugins":` + Keyed(`"0x5"`) + `}`, `write "plugins":[{"type":"ib-sriov",…}]`},
		"a mebibyte of nothing":   {Keyed(strings.Repeat(" ", 1<<20)), "mend the text near"},
		"a mebibyte of pkey":      {Keyed(`"0x` + strings.Repeat("f", 1<<20) + `"`), "write it as 0x1000"},
		"capability as text":      {`{"type":"ib-sriov","capabilities":{"infinibandGUID":"yes"}}`, "write true or false, without quotes"},
	}
}
