//go:build linux

package guest

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
)

// Packages fetches packages of Debian's and all that they depend on, unpacks them into one
// tree for a guest, and gives its folder. What is in the cache is not asked for again; of
// the configuration only Cache and Log count.
func Packages(ctx context.Context, c Config, names ...string) (string, error) {
	s, err := openStore(c)
	if err != nil {
		return "", err
	}
	unlock, err := s.lock(ctx)
	if err != nil {
		return "", err
	}
	defer unlock()
	sum := sha256.Sum256([]byte(strings.Join(names, " ")))
	root := s.path(fmt.Sprintf("tree-%s-%x", suites()[0], sum[:4]))
	err = s.folder(root, func(dir string) error {
		if err := mergedUsr(dir); err != nil {
			return err
		}
		a, err := s.apt(ctx)
		if err != nil {
			return err
		}
		return s.log.step("lab: fetching "+strings.Join(names, ", ")+" (once)", func() error {
			return a.withAll(ctx, dir, names...)
		})
	})
	if err != nil {
		return "", fmt.Errorf("%w: fetching %s: %w", ErrUnavailable, strings.Join(names, ", "), err)
	}
	return root, nil
}
