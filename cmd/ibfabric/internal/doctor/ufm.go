package doctor

import (
	"crypto/x509"
	"fmt"
	"strings"
	"time"

	"github.com/ibfabric/ibfabric/cmd/ibfabric/internal/credential"
	"github.com/ibfabric/ibfabric/controller/console/api"
)

func answers(f Facts, now time.Time) []Row {
	if f.Overview.Err != nil {
		return nil // leader says so
	}
	u := f.Overview.Value.UFM
	var found []Row
	if strings.HasPrefix(u.Target, "http://") {
		found = append(found, row(Mend, u.Target+": without TLS everybody in between reads the password", "# set UFM_HTTP_SCHEMA=https for the controller"))
	}
	for what, h := range map[string]api.Health{"reads": u.Reads, "writes": u.Writes} {
		if !h.OK {
			found = append(found, row(Mend, fmt.Sprintf("%s: %s fail since %s: %s", u.Target, what, h.Since.UTC().Format(time.RFC3339), h.Error), reachUFM(u.Target)...))
		}
	}
	for _, p := range u.Full.Unread {
		found = append(found, row(Mend, fmt.Sprintf("UFM does not tell the members of %s", p), "# look at the partition in UFM: "+p.String()))
	}
	if !u.Shows {
		return append(found, row(Info, u.Target+" cannot be read: it is believed what it answers, and drift is not seen"))
	}
	return allOr(found, fmt.Sprintf("%s answers; read in full %s ago", u.Target, now.Sub(u.Full.At).Round(time.Second)))
}

func reachUFM(target string) []string {
	hosts := Hosts(target)
	if len(hosts) == 0 {
		return nil
	}
	return []string{
		fmt.Sprintf("curl -kI https://%s/     # from a node: does it answer at all?", hosts[0]),
		"# a refused password or certificate: ibfabric ufm secret makes the Secret anew",
	}
}

// Hosts are the addresses in the target of an Overview, with their port if they have one.
func Hosts(target string) []string {
	_, list, ok := strings.Cut(target, "://")
	if !ok {
		return nil
	}
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' || r == '/' })
}

func certificates(f Facts, now time.Time) []Row {
	var rows []Row
	for _, s := range f.UFM {
		rows = append(rows, certificate(f, s, now))
	}
	return rows
}

// certificate judges what one address of UFM shows.
func certificate(f Facts, s Server, now time.Time) Row {
	mend := append([]string{"# on UFM's host; ibfabric ufm cert " + s.Host + " makes the same here:", credential.OpenSSL([]string{s.Host})},
		append(credential.Install("ufm.key", "ufm.crt")[1:], makeSecret(f, s.Host))...)
	if s.Err != nil {
		state := Mend
		if f.Overview.Err == nil && f.Overview.Value.UFM.Reads.OK {
			state = Info // the controller reaches it, which is all that counts
		}
		return row(state, fmt.Sprintf("%s cannot be looked at from here: %v", s.Host, s.Err),
			fmt.Sprintf("openssl s_client -connect %s:443 </dev/null | openssl x509 -noout -dates -ext subjectAltName     # from a node", s.Host))
	}
	c := s.Certs[0]
	seen := fmt.Sprintf("%s: %s, until %s", s.Host, names(c), c.NotAfter.UTC().Format(time.DateOnly))
	switch {
	case now.After(c.NotAfter):
		return row(Mend, seen+": it has expired", mend...)
	case now.Before(c.NotBefore):
		return row(Mend, seen+": it is not good before "+c.NotBefore.UTC().Format(time.RFC3339), "# set the clocks of UFM's host and of the nodes: timedatectl")
	case c.NotAfter.Sub(now) < soon:
		return row(Mend, fmt.Sprintf("%s: it ends in %d days", seen, int(c.NotAfter.Sub(now).Hours()/24)), mend...)
	case !credential.HasSAN(c):
		return row(Info, seen+": most clients refuse it, and ibfabric takes it only where UFM_CERTIFICATE is exactly this one", mend...)
	case c.VerifyHostname(s.Host) != nil:
		return row(Mend, seen+": it does not name "+s.Host, mend...)
	case s.Refused != nil:
		return row(Mend, fmt.Sprintf("%s: %v", seen, s.Refused), "# give the certificate of who signed it: ibfabric ufm secret --certificate")
	}
	return row(OK, seen)
}

// makeSecret is the command for the Secret where the controller reads it: in its namespace.
func makeSecret(f Facts, host string) string {
	namespace := ""
	if f.Overview.Err == nil {
		namespace = " --controller-namespace " + f.Overview.Value.Namespace
	}
	return fmt.Sprintf("ibfabric ufm secret%s --ufm-address %s --username USER --certificate ufm.crt --apply", namespace, host)
}

func names(c *x509.Certificate) string {
	list := append([]string(nil), c.DNSNames...)
	for _, ip := range c.IPAddresses {
		list = append(list, ip.String())
	}
	if len(list) == 0 {
		return fmt.Sprintf("common name %q alone, no subjectAltName", c.Subject.CommonName)
	}
	return "names " + some(list)
}

func posture(f Facts, _ time.Time) []Row {
	if f.SM == nil {
		host := "UFM"
		if len(f.UFM) > 0 {
			host = f.UFM[0].Host
		}
		return one(Info, "nobody here may see its keys. Whoever runs UFM can check them, without showing them to anybody:",
			fmt.Sprintf("curl -u USER https://%s/ufmRest/app/smconf -o smconf.json", host),
			fmt.Sprintf("curl -u USER https://%s/ufmRest/resources/pkeys?guids_data=true -o pkeys.json", host),
			"ibfabric doctor --sm-conf smconf.json --sm-conf pkeys.json; rm smconf.json")
	}
	var found []Row
	for _, weak := range f.SM.Weak {
		found = append(found, row(Mend, weak, "# set it in UFM's opensm.conf, keep it secret, and restart UFM"))
	}
	switch f.SM.Default {
	case "full":
		found = append(found, row(Mend, "ports are full members of the default partition: every host reaches every other there, whatever its PKeys",
			"# default_membership = limited in UFM's gv.cfg, and restart UFM"))
	case "":
		found = append(found, row(Info, "the default membership was not told", "# add the answer to resources/pkeys?guids_data=true of UFM 6.19 or later: --sm-conf"))
	}
	return allOr(found, "its keys are its own, and ports are limited members by default")
}

// fabric is what of the overview somebody must see to.
func fabric(f Facts, _ time.Time) []Row {
	if f.Overview.Err != nil {
		return nil // leader says so
	}
	o := f.Overview.Value
	var found []Row
	if o.Drift > 0 {
		found = append(found, row(Mend, fmt.Sprintf("UFM differs from the ledger by %d members", o.Drift), "ibfabric drift"))
	}
	if o.Nodes.Over > 0 {
		found = append(found, row(Mend, fmt.Sprintf("%d nodes need more PKeys than their tables have", o.Nodes.Over), "ibfabric nodes"))
	}
	if o.Members.Unclaimed > 0 {
		found = append(found, row(Info, fmt.Sprintf("%d members in UFM are of our range, and nobody's here", o.Members.Unclaimed), "ibfabric drift     # ibfabric reclaim removes those that you know to be nobody's"))
	}
	if o.StuckHolds > 0 {
		found = append(found, row(Info, fmt.Sprintf("%d GUIDs wait for nodes that say nothing", o.StuckHolds), "ibfabric guids --state held     # ibfabric release, for a node that is gone for good"))
	}
	if o.Refused > 0 {
		found = append(found, row(Info, fmt.Sprintf("%d pods get nothing as they are written", o.Refused), "ibfabric pods --state refused"))
	}
	for _, n := range o.Notices {
		found = append(found, row(Info, n))
	}
	return allOr(found, fmt.Sprintf("%d of %d members are in UFM", o.Members.Actual, o.Members.Desired))
}
