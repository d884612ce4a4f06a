package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// LabelJournal tells the objects of a fabric's journal apart: JournalHead or JournalPage.
const LabelJournal = "ibfabric.io/journal"

// The values of LabelJournal.
const (
	JournalHead = "head"
	JournalPage = "page"
)

// JournalHeadName is the name of a fabric's head, in the controller's namespace. A dot is in
// no fabric's name.
func JournalHeadName(fabric string) string { return fabric + ".head" }

// Journal is a piece of what was changed in UFM and why, for people: the head, which says
// who leads and where its console is, or a page of entries. The controller writes it, in
// its namespace; the ledger, not this, is what it goes by.
type Journal struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec JournalSpec `json:"spec"`
}

// JournalSpec is what a Journal says.
type JournalSpec struct {
	// Leader wrote this object last; in the head, who leads, or led last.
	Leader string `json:"leader,omitempty"`
	// Console is where the leader's console is, in the head.
	Console *JournalConsole `json:"console,omitempty"`
	// Entries are those of a page, oldest first, each the JSON of one.
	Entries []string `json:"entries,omitempty"`
}

// JournalConsole says how to reach a console. Whoever asks must still be let in.
type JournalConsole struct {
	// Namespace and Pod are where it runs, for a port-forward; empty outside of a pod.
	Namespace string `json:"namespace,omitempty"`
	Pod       string `json:"pod,omitempty"`
	// Address is host:port as the pod network, or the host's, has it.
	Address string `json:"address"`
	Port    int32  `json:"port"`
	// ServerName is in the certificate; CABundle is the PEM of who signed it, empty where
	// the machine's own roots are to be asked.
	ServerName string `json:"serverName"`
	CABundle   string `json:"caBundle,omitempty"`
}

// JournalList is a list of Journals.
type JournalList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []Journal `json:"items"`
}

// DeepCopyObject implements runtime.Object.
func (j *Journal) DeepCopyObject() runtime.Object {
	out := *j
	out.ObjectMeta = *j.ObjectMeta.DeepCopy()
	out.Spec.Entries = append([]string(nil), j.Spec.Entries...)
	if j.Spec.Console != nil {
		console := *j.Spec.Console
		out.Spec.Console = &console
	}
	return &out
}

// DeepCopyObject implements runtime.Object.
func (l *JournalList) DeepCopyObject() runtime.Object {
	out := JournalList{TypeMeta: l.TypeMeta, ListMeta: *l.ListMeta.DeepCopy()}
	for i := range l.Items {
		out.Items = append(out.Items, *l.Items[i].DeepCopyObject().(*Journal))
	}
	return &out
}
