package files

import (
	"crypto/sha256"
	"encoding/hex"
	"path"
	"slices"
	"unicode/utf8"

	"adventureworks.example/extract/schemas"
)

// imageFields are the fields of every image, before the words of its name and the origin.
var imageFields = []schemas.Field{
	{Name: "sha256", Type: schemas.Primitive(schemas.String), Doc: "Of the bytes, in hexadecimal."},
	{Name: "media_type", Type: schemas.Primitive(schemas.String), Doc: "By content."},
	schemas.NullableField("width", schemas.Primitive(schemas.Int)),
	schemas.NullableField("height", schemas.Primitive(schemas.Int)),
	schemas.NullableField("orientation", schemas.Primitive(schemas.Int)),
	{Name: "name", Type: schemas.Primitive(schemas.String), Doc: "File name without its folder."},
	{Name: "size", Type: schemas.Primitive(schemas.Long), Doc: "Of the bytes."},
	{Name: "bytes", Type: schemas.Primitive(schemas.Bytes), Doc: "The image as it was."},
}

func imageField(name string) bool {
	return name == schemas.OriginField || slices.ContainsFunc(imageFields, func(f schemas.Field) bool { return f.Name == name })
}

// imageSchema is the schema of a dataset of images whose names have the words.
func imageSchema(dataset string, words []string) (*schemas.Schema, error) {
	fields := slices.Clone(imageFields)
	for _, w := range words {
		fields = append(fields, schemas.NullableField(w, schemas.Primitive(schemas.String)))
	}
	fields = append(fields, schemas.Field{Name: schemas.OriginField, Type: schemas.Origin()})
	return schemas.New(schemas.RecordOf("extract.files."+schemas.Name(dataset), fields...))
}

// appendImage appends the record of an image, all but its origin.
func appendImage(dst []byte, name string, b []byte, info imageInfo, pattern namePattern) []byte {
	sum := sha256.Sum256(b)
	dst = schemas.AppendString(dst, hex.EncodeToString(sum[:]))
	dst = schemas.AppendString(dst, info.mediaType)
	dst = appendPositive(dst, info.width)
	dst = appendPositive(dst, info.height)
	dst = appendPositive(dst, info.orientation)
	dst = schemas.AppendString(dst, pathText(path.Base(name)))
	dst = schemas.AppendLong(dst, int64(len(b)))
	dst = schemas.AppendBytes(dst, b)
	values := pattern.values(name)
	for i := range pattern.words {
		if values == nil || !utf8.ValidString(values[i]) {
			dst = schemas.AppendBranch(dst, 0)
			continue
		}
		dst = schemas.AppendString(schemas.AppendBranch(dst, 1), values[i])
	}
	return dst
}

func appendPositive(dst []byte, v int) []byte {
	if v <= 0 {
		return schemas.AppendBranch(dst, 0)
	}
	return schemas.AppendLong(schemas.AppendBranch(dst, 1), int64(v))
}
