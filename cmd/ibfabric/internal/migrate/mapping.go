package migrate

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/ibfabric/ibfabric/cmd/ibfabric/internal/credential"
	"github.com/ibfabric/ibfabric/guid"
)

// minSync is the shortest time between two full reads of UFM that the controller takes from
// DAEMON_PERIODIC_UPDATE.
const minSync = 30 * time.Second

// Setting is one of ib-kubernetes, and what it is for ibfabric.
type Setting struct {
	Name    string `json:"name"`
	Where   string `json:"where"`
	Has     string `json:"has,omitempty"`     // "" where it is not set, not known, or not to be shown
	Becomes string `json:"becomes,omitempty"` // a value of the chart; "" where there is none
	Note    string `json:"note,omitempty"`
}

// mapping is what became of the settings.
type mapping struct {
	settings []Setting
	rows     []Row
	values   Values
	ranges   []guid.Range // that GUIDs are taken over from
}

func (m *mapping) add(v variable, has, becomes, note string) {
	m.settings = append(m.settings, Setting{Name: v.label(), Where: v.where(), Has: has, Becomes: becomes, Note: note})
}

func (m *mapping) say(state State, seen string, mend ...string) {
	m.rows = append(m.rows, row(state, "settings", seen, mend...))
}

// judged are the rows. Where ibfabric is installed its own settings count, which somebody
// chose, and those of ib-kubernetes are to be known and no more.
func (m *mapping) judged(installed bool) []Row {
	for i := range m.rows {
		if installed && m.rows[i].Check == "settings" {
			m.rows[i].State = Info
		}
	}
	return m.rows
}

// translate makes values of the chart of the settings.
func (f *Facts) translate(s settings) mapping {
	m := mapping{values: newValues(), rows: f.unread()}
	if n := len(f.Incumbents.Value); n > 1 {
		m.say(Info, fmt.Sprintf("there are %d ib-kubernetes, and these are the settings of the one in namespace %s", n, s.namespace))
	}
	m.plugin(s)
	m.period(s)
	m.guids(s)
	m.ufm(s, f)
	for _, name := range s.order {
		m.other(s.get(name), f)
	}
	if f.hasMachines() {
		m.values.Admission = &AdmissionValues{}
		m.values.Admission.Policies.Writers = []string{"system:serviceaccount:kubevirt:kubevirt-controller"}
		m.say(Info, "there are virtual machines of KubeVirt on these networks: its controller may write into their pods (admission.policies.writers)")
	}
	return m
}

func (m *mapping) plugin(s settings) {
	v := s.get(smPlugin)
	switch v.value {
	case "ufm", "noop":
		m.values.UFM.Plugin = v.value
		m.add(v, v.value, "ufm.plugin: "+v.value, "")
	case "":
		m.add(v, "", "", "")
		m.say(Mend, v.name+" is not set: ib-kubernetes does not start without it, and ibfabric takes it for ufm", "# set ufm.plugin to ufm or noop in the values")
	default:
		m.add(v, v.value, "", "refused")
		m.say(Mend, fmt.Sprintf("%s is %q: ibfabric has ufm and noop, and loads no other plugin", v.name, v.value), "# set ufm.plugin to ufm or noop in the values, or stay")
	}
}

func (m *mapping) period(s settings) {
	v := s.get(periodic)
	if v.value == "" {
		m.add(v, "", "", "not set: 5 s there, and here no pod waits for it")
		return
	}
	seconds, err := strconv.Atoi(v.value)
	if err != nil || seconds <= 0 {
		m.add(v, v.value, "", "refused")
		m.say(Mend, fmt.Sprintf("%s is %q: it is a number of seconds above 0", v.label(), v.value), "# leave syncPeriod out of the values, which is one minute")
		return
	}
	every := max(minSync, time.Duration(seconds)*time.Second)
	m.values.SyncPeriod = strconv.Itoa(int(every.Seconds())) + "s"
	note := ""
	if seconds < int(minSync.Seconds()) {
		note = "there pods wait for it; here it is the full read of UFM"
	}
	m.add(v, v.value, "syncPeriod: "+m.values.SyncPeriod, note)
}

// The range that both take where none is set.
const (
	defaultStart = "02:00:00:00:00:00:00:00"
	defaultEnd   = "02:FF:FF:FF:FF:FF:FF:FF"
)

func (m *mapping) guids(s settings) {
	start, end := s.get(rangeStart), s.get(rangeEnd)
	first, last := start.value, end.value
	if first == "" {
		first = defaultStart
	}
	if last == "" {
		last = defaultEnd
	}
	r, err := guid.ParseRange(first, last)
	if err != nil {
		m.add(start, start.value, "", "refused")
		m.add(end, end.value, "", "refused")
		m.say(Mend, fmt.Sprintf("%s and %s: %v", start.label(), end.label(), err), "# write the range that the pods' GUIDs are from into guids.start and guids.end of the values, as 02:00:00:00:00:00:00:00")
		return
	}
	m.ranges = []guid.Range{r}
	if start.value == "" && end.value == "" {
		m.add(start, "", "", "not set: both take "+r.String())
		return
	}
	m.values.GUIDs = &GUIDValues{Start: r.First.String(), End: r.Last.String()}
	m.add(start, start.value, "guids.start: "+r.First.String(), "")
	m.add(end, end.value, "guids.end: "+r.Last.String(), "")
}

// ufm sees to the Secret, and to what of UFM stands elsewhere.
func (m *mapping) ufm(s settings, f *Facts) {
	if m.values.UFM.Plugin == "noop" {
		return
	}
	at := m.secret(s, f)
	address, scheme, port := s.get(ufmAddress), s.get(ufmScheme), s.get(ufmPort)
	m.setting(address, at, "ufm.address", &m.values.UFM.Address)
	m.setting(scheme, at, "ufm.scheme", &m.values.UFM.Scheme)
	text := ""
	m.setting(port, at, "ufm.port", &text)
	n := 0
	if port.value != "" {
		var err error
		if n, err = strconv.Atoi(port.value); err != nil || n < 1 || n > 65535 {
			m.say(Mend, fmt.Sprintf("%s is %q: it is a number from 1 to 65535", port.label(), port.value), "# mend it where it stands")
			n = 0
		}
	}
	if text != "" {
		m.values.UFM.Port = n
	}
	if scheme.value == "http" {
		m.say(Info, "UFM is spoken to without TLS: everybody in between reads the password")
		if n == 0 {
			n = 80
		}
	}
	if n != 0 && n != 443 {
		m.values.NetworkPolicy = &NetworkPolicyValue{UFMPorts: []int{n}}
	}
	if f.Secrets[at].Err != nil || scheme.value == "http" {
		return // which is told of
	}
	m.certificate(s.get(ufmCertificate), at, net.JoinHostPort(orWord(strings.Split(address.value, ",")[0], "ADDRESS"), orWord(port.value, "443")))
}

// setting is one that stays in the Secret, or goes into the values.
func (m *mapping) setting(v variable, secret types.NamespacedName, value string, into *string) {
	switch {
	case v.kind == "" || (!v.set && v.kind != inSecret):
	case v.kind == inSecret && v.at == secret && v.key == v.name:
		if v.set {
			m.add(v, v.value, "ufm.secret", "stays in the Secret")
		}
	case v.value != "":
		*into = v.value
		m.add(v, v.value, value+": "+v.value, "")
	case v.set:
		m.add(v, "", "", "refused")
		m.say(Mend, fmt.Sprintf("%s stands in %s, and ibfabric looks for the key %s", v.label(), v.where(), v.name), fmt.Sprintf("# write it as %s into the Secret %s, or as %s into the values", v.name, secret.Name, value))
	}
}

// secret is the one with the password. Both credentials must be in it, under their names.
func (m *mapping) secret(s settings, f *Facts) types.NamespacedName {
	user, password := s.get(ufmUsername), s.get(ufmPassword)
	at := password.at
	if password.kind != inSecret {
		at = types.NamespacedName{Namespace: s.namespace, Name: "ibfabric-ufm"}
	}
	m.values.UFM.Secret = at.Name
	anew := makeSecret(at, orWord(s.get(ufmAddress).value, "ADDRESS"))
	for _, v := range []variable{user, password} {
		read, known := f.Secrets[at]
		has := v.set && v.key == v.name || v.name == ufmUsername && slices.Contains(read.Value.Keys, "UFM_USER") // which the guide writes
		switch {
		case v.kind != inSecret || v.at != at:
			m.add(v, "", "", "refused")
			m.say(Mend, fmt.Sprintf("%s does not stand in the Secret %s, and ibfabric reads credentials nowhere else", v.label(), at.Name), anew)
		case known && read.Err != nil:
			m.add(v, "", "ufm.secret: "+at.Name, "the Secret could not be read here")
		case !has:
			m.add(v, "", "", "refused")
			m.say(Mend, fmt.Sprintf("%s must be a key of the Secret %s, and is not", v.name, at.Name), anew)
		default:
			m.add(v, "", "ufm.secret: "+at.Name, "not shown")
		}
	}
	return at
}

// certificate compares how UFM is believed. Without a certificate ib-kubernetes believes
// everybody.
func (m *mapping) certificate(v variable, secret types.NamespacedName, address string) {
	fetch := []string{
		fmt.Sprintf("openssl s_client -connect %s </dev/null | openssl x509 > ufm.crt     # and compare its fingerprint with UFM's own", address),
		fmt.Sprintf(`kubectl -n %s patch secret %s -p "{\"data\":{\"%s\":\"$(base64 -w0 ufm.crt)\"}}"`, secret.Namespace, secret.Name, ufmCertificate),
		"# or go on believing whoever answers there: ufm.skipTLSVerify: true in the values",
	}
	switch {
	case !v.set:
		m.add(v, "", "", "not set: nothing is verified there; here everything is")
		m.say(Mend, "without UFM_CERTIFICATE ib-kubernetes gives the password to whoever answers at UFM's address; ibfabric wants a certificate that it can verify", fetch...)
		return
	case v.kind != inSecret || v.at != secret || v.key != v.name:
		m.add(v, "", "", "refused")
		m.say(Mend, fmt.Sprintf("UFM_CERTIFICATE stands in %s, and ibfabric reads it in the Secret %s", v.where(), secret.Name), fetch...)
		return
	}
	certs, err := credential.Trust([]byte(v.value))
	switch {
	case err != nil:
		m.add(v, "", "", "refused")
		m.say(Mend, fmt.Sprintf("UFM_CERTIFICATE cannot be used: %v", err), fetch...)
	case !credential.HasSAN(certs[0]) && len(certs) == 1:
		m.add(v, "a certificate", "ufm.secret", "it names no host: exactly this one is taken")
	default:
		m.add(v, "a certificate", "ufm.secret", "stays in the Secret")
	}
}

func orWord(text, word string) string {
	if text == "" {
		return word
	}
	return text
}
