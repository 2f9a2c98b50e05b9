package clickhouse

import (
	"context"
	"fmt"
)

// keepView makes the view anew where it does not show every column of the rows as it is now. A process that widened the rows may have died
// before it came to the view, and a request of one that was believed dead may have brought an older view back.
func (c *current) keepView(ctx context.Context) error {
	rows := rowsPrefix + c.name
	columns, err := c.sink.texts(ctx, "SELECT table, name, type FROM system.columns WHERE database = "+quoteText(c.sink.conf.Current)+
		" AND table IN ("+quoteText(rows)+", "+quoteText(c.name)+")", 3)
	if err != nil {
		return classify(fmt.Errorf("ask for the columns of view %s: %w", c.view(), err))
	}
	types := map[[2]string]string{}
	for _, r := range columns {
		types[[2]string{r[0], r[1]}] = r[2]
	}
	for _, col := range c.layout.columns {
		if shown, ok := types[[2]string{c.name, col.name}]; !ok || shown != types[[2]string{rows, col.name}] {
			return c.createView(ctx, "CREATE OR REPLACE VIEW")
		}
	}
	return nil
}
