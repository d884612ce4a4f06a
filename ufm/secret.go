package ufm

import (
	"fmt"
	"io"
	"log/slog"
)

const redacted = "[redacted]"

// Secret is a text that does not let itself be printed, marshalled or logged. The zero
// value is none.
//
// It holds a pointer because fmt does not call methods on unexported fields: of a struct
// that hides a Secret somewhere, fmt then shows an address and not the text.
type Secret struct{ text *string }

// NewSecret makes a Secret of s.
func NewSecret(s string) Secret {
	if s == "" {
		return Secret{}
	}
	return Secret{&s}
}

// IsSet reports whether there is a text.
func (s Secret) IsSet() bool { return s.text != nil }

func (s Secret) reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// String is "[redacted]", set or not. zap logs this too.
func (s Secret) String() string { return redacted }

// Format answers every verb of fmt, %#v and %x among them.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// MarshalText serves JSON, YAML and XML.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue serves log/slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// UnmarshalText takes the text in, so that a Secret can stand in a configuration file.
func (s *Secret) UnmarshalText(text []byte) error {
	*s = NewSecret(string(text))
	return nil
}
