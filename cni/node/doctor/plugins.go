package doctor

import (
	"fmt"
	"strings"

	"github.com/ibfabric/ibfabric/cni/node/install"
)

// cniNames has one row for each thing to do, not for each name: one command mends them all.
func cniNames(n Node, _ Want) []Row {
	var found []Row
	var ours, missing, foreign, older []string
	for _, p := range n.Plugins {
		b := p.Value
		switch {
		case p.Err != nil:
			found = append(found, unreadable("a plugin", p.Err))
		case b.Owner == install.Missing:
			missing = append(missing, b.Name)
		case b.Owner == install.Foreign:
			foreign = append(foreign, fmt.Sprintf("%s is %s", b.Name, b))
		case b.Version != n.Version:
			older = append(older, fmt.Sprintf("%s is %s", b.Name, b))
		default:
			ours = append(ours, b.Name)
		}
	}
	command := "ibfabric-cni install --cni-bin-dir " + n.CNIDir
	in := " in " + n.CNIDir
	if len(missing) > 0 {
		found = append(found, row(Mend, strings.Join(missing, ", ")+" missing"+in, command))
	}
	if len(foreign) > 0 {
		found = append(found, row(Mend, strings.Join(foreign, ", ")+in, command+" --foreign=replace", "# or leave out what is to stay theirs: --only"))
	}
	if len(older) > 0 {
		found = append(found, row(Info, fmt.Sprintf("%s%s, this is %s", strings.Join(older, ", "), in, n.Version), command))
	}
	if len(ours) > 0 {
		found = append(found, row(OK, fmt.Sprintf("%s: ibfabric %s%s", strings.Join(ours, ", "), n.Version, in)))
	}
	return found
}
