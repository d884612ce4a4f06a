package rights

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestANamesakeIsNewsOnceAndAfterAnHourWithoutItAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := NewNamesakes(nil, time.Now)
		want := func(news []string, of ...string) {
			t.Helper()
			if diff := cmp.Diff(news, n.news(of)); diff != "" {
				t.Errorf("news (-want +got):\n%s", diff)
			}
		}
		want([]string{"one"}, "one")
		want(nil, "one")
		want(nil)
		want(nil, "one") // made again, to have it said again
		time.Sleep(saidLasts)
		want(nil, "one") // it is there
		want(nil)
		want([]string{"one"}, "one")
	})
}

func TestWhoeverMakesManyNamesakesHasFewOfThemSaidAndRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, said := NewNamesakes(nil, time.Now), 0
		for i := range 1000 {
			said += len(n.news([]string{fmt.Sprint(i), fmt.Sprint(i + 1)}))
			time.Sleep(time.Second)
		}
		if said != saidAtMost || len(n.said) != saidAtMost {
			t.Errorf("%d were said, %d are remembered", said, len(n.said))
		}
	})
}
