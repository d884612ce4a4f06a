package doctor

import (
	"fmt"
	"strings"
	"time"

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

// GCEvery is how often `ibfabric-cni gc` must run at least for a VF to keep its GUID for a
// retry: nobody would come for the GUID otherwise.
const GCEvery = 3 * time.Minute

// gc informs only: pods start without it, but slow fabrics need more tries, and what a lost
// DEL has left stays until the VF is used again.
func gc(n Node, _ Want) []Row {
	const command, where = "ibfabric-cni gc", "# every minute, by ibfabric-cni gc --every 1m in the node's DaemonSet"
	switch ago := n.Collected.Value; {
	case n.Collected.Err != nil:
		return one(Info, fmt.Sprintf("not known when it ran: %v", n.Collected.Err))
	case ago < 0:
		return one(Info, "never ran on this node", command, where)
	case ago >= GCEvery:
		return one(Info, fmt.Sprintf("ran %v ago; VFs keep no GUID for a retry", ago.Round(time.Second)), command, where)
	default:
		return one(OK, fmt.Sprintf("ran %v ago", ago.Round(time.Second)))
	}
}
