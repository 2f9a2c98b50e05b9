package schemas

import _ "embed"

// The .avsc files of the topics that belong to the system itself.
var (
	//go:embed progress_key.avsc
	progressKey string
	//go:embed progress.avsc
	progress string
	//go:embed deadletter.avsc
	deadLetter string
)

// ProgressKey and Progress are the contract of the topic `<prefix>.progress`, DeadLetter that of `<prefix>.deadletters`.
var (
	ProgressKey = MustParse(progressKey)
	Progress    = MustParse(progress)
	DeadLetter  = MustParse(deadLetter)
)
