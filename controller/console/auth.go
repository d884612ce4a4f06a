package console

import (
	"context"
	"fmt"
	"net/http"
	"path"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/authenticatorfactory"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"
	"k8s.io/client-go/kubernetes"

	"github.com/ibfabric/ibfabric/controller/console/api"
)

// How long the API server's word on a user counts. A right that is taken away is gone
// within these.
const (
	tokenTTL  = 30 * time.Second
	accessTTL = 30 * time.Second
	denyTTL   = 5 * time.Second
	askWithin = 10 * time.Second
)

// Where every cluster says which CA signs its users' certificates. Whoever is bound to the
// Role extension-apiserver-authentication-reader in kube-system may read it.
const (
	clientCANamespace = "kube-system"
	clientCAConfigMap = "extension-apiserver-authentication"
	clientCAKey       = "client-ca-file"
)

// Gatekeeper lets those in whom the cluster knows and allows to: by bearer token, which the
// API server reviews, or by client certificate, which the cluster's CA has signed.
type Gatekeeper struct {
	who authenticator.Request
	may authorizer.Authorizer
	ca  *dynamiccertificates.ConfigMapCAController
}

// NewGatekeeper asks a cluster.
func NewGatekeeper(cluster kubernetes.Interface) (*Gatekeeper, error) {
	ca, err := dynamiccertificates.NewDynamicCAFromConfigMapController("console", clientCANamespace, clientCAConfigMap, clientCAKey, cluster)
	if err != nil {
		return nil, fmt.Errorf("watch the cluster's CA of client certificates: %w", err)
	}
	retry := wait.Backoff{Duration: 200 * time.Millisecond, Factor: 1.5, Jitter: 0.2, Steps: 3}
	who, _, err := authenticatorfactory.DelegatingAuthenticatorConfig{
		CacheTTL: tokenTTL, TokenAccessReviewClient: cluster.AuthenticationV1(), TokenAccessReviewTimeout: askWithin,
		WebhookRetryBackoff: &retry, ClientCertificateCAContentProvider: ca,
	}.New()
	if err != nil {
		return nil, fmt.Errorf("prepare the token reviews: %w", err)
	}
	may, err := authorizerfactory.DelegatingAuthorizerConfig{
		SubjectAccessReviewClient: cluster.AuthorizationV1(), AllowCacheTTL: accessTTL, DenyCacheTTL: denyTTL, WebhookRetryBackoff: &retry,
	}.New()
	if err != nil {
		return nil, fmt.Errorf("prepare the access reviews: %w", err)
	}
	return &Gatekeeper{who: who, may: may, ca: ca}, nil
}

// Start follows the CA of client certificates until ctx ends.
func (g *Gatekeeper) Start(ctx context.Context) error {
	g.ca.Run(ctx, 1)
	return nil
}

type userKey struct{}

// userOf is who asks.
func userOf(r *http.Request) string {
	name, _ := r.Context().Value(userKey{}).(string)
	return name
}

// guard serves next to those who may. What is asked for is judged by the path that is
// served, so that there is one spelling of it.
func (g *Gatekeeper) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if clean := path.Clean(r.URL.Path); r.URL.Path != clean && r.URL.Path != clean+"/" {
			fail(w, &api.Error{Code: http.StatusBadRequest, Message: "write the path without empty and dotted parts"})
			return
		}
		// Reviews have no deadline of the client's: it may be a stream.
		ctx, cancel := context.WithTimeout(r.Context(), askWithin)
		defer cancel()
		who, err := g.identify(r.WithContext(ctx))
		if err == nil {
			err = g.judge(ctx, who, r)
		}
		if err != nil {
			fail(w, err)
			return
		}
		cancel()
		r = r.WithContext(context.WithValue(r.Context(), userKey{}, who.GetName()))
		r.Header.Del("Authorization") // nobody behind has a use for it
		next.ServeHTTP(w, r)
	})
}

const authMend = "; grant the controller's account the ClusterRole system:auth-delegator"

func (g *Gatekeeper) identify(r *http.Request) (user.Info, error) {
	who, ok, err := g.who.AuthenticateRequest(r.Clone(r.Context())) // it takes the token out of the headers
	switch {
	case ok:
		return who.User, nil
	case err != nil && strings.Contains(err.Error(), "tokenreviews"):
		return nil, &api.Error{Code: http.StatusInternalServerError, Message: "the API server will not review tokens for the controller" + authMend}
	}
	// Why a credential is not taken says nothing that its owner needs, and may say more.
	return nil, &api.Error{Code: http.StatusUnauthorized, Message: "the cluster does not know you: send a bearer token of the cluster, or a client certificate that its CA signed"}
}

func (g *Gatekeeper) judge(ctx context.Context, who user.Info, r *http.Request) error {
	verb := strings.ToLower(r.Method)
	decision, _, err := g.may.Authorize(ctx, authorizer.AttributesRecord{User: who, Verb: verb, Path: r.URL.Path})
	switch {
	case err != nil:
		return &api.Error{Code: http.StatusInternalServerError, Message: "the API server does not say whether you may" + authMend}
	case decision == authorizer.DecisionAllow:
		return nil
	}
	return &api.Error{
		Code: http.StatusForbidden, Permission: &api.Permission{User: who.GetName(), Verb: verb, Path: r.URL.Path},
		Message: fmt.Sprintf("user %s may not %s %s: ask for a ClusterRole whose nonResourceURLs have that path, with the verb %s", who.GetName(), verb, r.URL.Path, verb),
	}
}
