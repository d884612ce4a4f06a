package attach

import (
	"strings"
	"unicode"
)

const maxName = 253 // of an object, in bytes

// isSubdomain reports whether s can name an object of the API (RFC 1123).
func isSubdomain(s string) bool {
	if len(s) > maxName {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if !isLabel(label) {
			return false
		}
	}
	return true
}

// isLabel is one part of such a name. The 63 characters of a label are left to the API
// server, as Multus does; the bound only keeps junk out.
func isLabel(s string) bool {
	if s == "" || len(s) > maxName || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

// isInterface reports whether the kernel takes s for the name of an interface and a
// message can show it.
func isInterface(s string) bool {
	const ifnamsiz = 16 // with the closing zero byte
	if s == "" || len(s) >= ifnamsiz || s == "." || s == ".." {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return r == '/' || r == ':' || unicode.IsSpace(r) || !unicode.IsPrint(r) || r == unicode.ReplacementChar
	})
}
