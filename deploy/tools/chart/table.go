package chart

import (
	"errors"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Table is the values of a values.yaml with their defaults and the comments above them, as
// a table in Markdown. A value without a comment is an error.
func Table(values []byte) (string, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(values, &doc); err != nil {
		return "", fmt.Errorf("read the values: %w", err)
	}
	if len(doc.Content) != 1 || doc.Content[0].Kind != yaml.MappingNode {
		return "", errors.New("read the values: they are no mapping")
	}
	var b strings.Builder
	b.WriteString("| value | default | |\n|---|---|---|\n")
	if err := rows(&b, "", doc.Content[0]); err != nil {
		return "", err
	}
	return b.String(), nil
}

// rows writes the values of a mapping. One that groups others has no row of its own: its
// comment is above each of its own values.
func rows(b *strings.Builder, prefix string, m *yaml.Node) error {
	for i := 0; i+1 < len(m.Content); i += 2 {
		key, value := m.Content[i], m.Content[i+1]
		name := prefix + key.Value
		about := comment(key)
		if about == "" && value.Kind == yaml.MappingNode && len(value.Content) > 0 {
			if err := rows(b, name+".", value); err != nil {
				return err
			}
			continue
		}
		if about == "" {
			return fmt.Errorf("values.yaml:%d: write above %s what it is", key.Line, name)
		}
		text, err := flow(value)
		if err != nil {
			return err
		}
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", name, text, strings.ReplaceAll(about, "|", "\\|"))
	}
	return nil
}

func comment(key *yaml.Node) string {
	// What stands above an empty line is about more than this key.
	parts := strings.Split(key.HeadComment, "\n\n")
	var words []string
	for line := range strings.Lines(parts[len(parts)-1]) {
		words = append(words, strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), "#"))...)
	}
	return strings.Join(words, " ")
}

// flow is a value in one line; longer ones are left to the file.
func flow(value *yaml.Node) (string, error) {
	inline := *value
	if value.Kind != yaml.ScalarNode {
		inline.Style = yaml.FlowStyle
	}
	out, err := yaml.Marshal(&inline)
	if err != nil {
		return "", fmt.Errorf("write a value: %w", err)
	}
	text := strings.TrimSpace(string(out))
	switch {
	case strings.Contains(text, "\n") || len(text) > 60:
		return "see values.yaml", nil
	case text == `""` || text == "null":
		return "", nil
	}
	return "`" + text + "`", nil
}
