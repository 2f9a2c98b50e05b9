package schemas

import _ "embed"

//go:embed lake_item.avsc
var lakeItem string

// LakeItem is the contract of the topic on which a lake's planner gives its readers work.
var LakeItem = MustParse(lakeItem)
