package deploy

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/ibfabric/ibfabric/test/testbed"
)

// auditPolicy has the API server write down every request of an account of the release.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: Metadata
    users: ["` + controllerUser + `"]
  - level: None
`

// audited makes an API server keep an audit log in dir.
func audited(dir string) (testbed.Option, error) {
	policy := filepath.Join(dir, "audit-policy.yaml")
	if err := os.WriteFile(policy, []byte(auditPolicy), 0o600); err != nil {
		return nil, err
	}
	return testbed.WithAPIServerFlags(
		"--audit-policy-file="+policy, "--audit-log-path="+auditLog(dir),
		// As OpenShift has it: who names an owner must be allowed to hold up its deletion.
		"--enable-admission-plugins=OwnerReferencesPermissionEnforcement",
	), nil
}

func auditLog(dir string) string { return filepath.Join(dir, "audit.log") }

// request is one that the API server judged.
type request struct {
	Verb, Group, Resource, Name string
}

// requests reads the audit log: what was asked for, and what of it was denied.
func requests(t *testing.T, file string) (asked, denied []request) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var line struct {
			Verb      string
			ObjectRef *struct{ APIGroup, Resource, Subresource, Name string }
			Status    struct {
				Code    int
				Message string
			} `json:"responseStatus"`
			Notes map[string]string `json:"annotations"`
		}
		if json.Unmarshal(lines.Bytes(), &line) != nil {
			continue // the last line, as it is being written
		}
		r := request{Verb: line.Verb}
		if o := line.ObjectRef; o != nil {
			r.Group, r.Resource, r.Name = o.APIGroup, o.Resource, o.Name
			if o.Subresource != "" {
				r.Resource += "/" + o.Subresource
			}
		}
		asked = append(asked, r)
		// What a webhook refuses is no right: the controller's own may be behind its cache.
		forbidden := line.Status.Code == 403 && !strings.Contains(line.Status.Message, "admission webhook")
		if forbidden || line.Notes["authorization.k8s.io/decision"] == "forbid" {
			denied = append(denied, r)
		}
	}
	return asked, denied
}

// unused are the rights among rules that no request needed. A list beside a watch is for API
// servers that are too old to send in a watch what there is already.
func unused(rules []rbacv1.PolicyRule, asked []request) (left []request) {
	for _, rule := range rules {
		for _, group := range rule.APIGroups {
			for _, resource := range rule.Resources {
				for _, verb := range rule.Verbs {
					if verb == "list" && slices.Contains(rule.Verbs, "watch") {
						continue
					}
					right := request{Verb: verb, Group: group, Resource: resource}
					if !slices.ContainsFunc(asked, func(r request) bool {
						named := len(rule.ResourceNames) == 0 || r.Name == "" || slices.Contains(rule.ResourceNames, r.Name)
						return r.Verb == verb && r.Group == group && r.Resource == resource && named
					}) {
						left = append(left, right)
					}
				}
			}
		}
	}
	return left
}
