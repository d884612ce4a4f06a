package attach

import (
	"fmt"
	"strings"

	"github.com/ibfabric/ibfabric/pkey"
)

// primaryClaim reads how a NAD's annotations want its first partition joined. Unsaid,
// it is as ib-kubernetes has it: full, index 0, IPoIB. The PKey is the caller's to fill.
func primaryClaim(s site, annotations map[string]string) (Claim, error) {
	c := Claim{}
	var err error
	if c.Membership, err = pkey.ParseMembership(annotations[MembershipAnnotation]); err != nil {
		return c, s.wrap(MembershipAnnotation, err)
	}
	if c.Index0, err = truth(s, annotations, Index0Annotation); err != nil {
		return c, err
	}
	if c.IPoIB, err = truth(s, annotations, IPoIBAnnotation); err != nil {
		return c, err
	}
	name := annotations[PartitionAnnotation]
	if name != "" && !isPartitionName(name) {
		return c, s.problem(fmt.Sprintf("%s %s is no name of a Partition", PartitionAnnotation, quote(name)), "write the name that kubectl get partitions shows, or put a PKey into the config's pkey")
	}
	c.Partition = name
	return c, nil
}

// truth reads a switch that is on unless told. Only the two words count: YAML's yes and
// on reach an annotation as text, and which way they were meant is no guess to take.
func truth(s site, annotations map[string]string, key string) (bool, error) {
	switch v := annotations[key]; v {
	case "", "true":
		return true, nil
	case "false":
		return false, nil
	default:
		return false, s.problem(fmt.Sprintf("%s is %s", key, quote(v)), `write "true" or "false"`)
	}
}

// alsoClaims reads the further partitions of a NAD: PKeys or names, each with its
// membership behind a colon.
func alsoClaims(s site, text string) ([]Claim, error) {
	if text == "" {
		return nil, nil
	}
	var claims []Claim
	for item := range strings.SplitSeq(text, ",") {
		c, err := alsoClaim(s, strings.TrimSpace(item))
		if err != nil {
			return nil, err
		}
		claims = append(claims, c)
	}
	return claims, nil
}

func alsoClaim(s site, item string) (Claim, error) {
	name, word, colon := strings.Cut(item, ":")
	c := Claim{IPoIB: true}
	var err error
	if c.Membership, err = pkey.ParseMembership(word); err != nil {
		return c, s.wrap(AlsoAnnotation, err)
	}
	switch {
	case colon && word == "", name == "":
		return c, s.problem(fmt.Sprintf("%s has the part %s", AlsoAnnotation, quote(item)), "write it as storage:limited,0x20")
	case looksLikePKey(name):
		if c.PKey, err = pkey.Parse(name); err != nil {
			return c, s.wrap(AlsoAnnotation, err)
		}
	case isPartitionName(name):
		c.Partition = name
	default:
		return c, s.problem(fmt.Sprintf("%s names %s", AlsoAnnotation, quote(name)), "write a PKey as 0x20 or the name of a Partition")
	}
	return c, nil
}

// looksLikePKey takes all-digit names for PKeys that lack their 0x: that mistake is
// common, and a Partition named by a number is not.
func looksLikePKey(s string) bool {
	return strings.HasPrefix(strings.ToLower(s), "0x") || strings.Trim(s, "0123456789") == ""
}

func isPartitionName(s string) bool { return !looksLikePKey(s) && isSubdomain(s) }
