package adventureworks

import (
	"fmt"
	"strings"
)

// line is one subcategory of the catalogue: the models it has, and the colours and sizes each of them comes in.
type line struct {
	category int    // index in categories
	code     string // opens its product numbers and names its texts
	name     string
	models   []model
	colors   []string
	sizes    []string // one empty string for a line without sizes
	unit     string   // unit of the sizes, empty for letters
	grams    int      // weight of a typical piece
}

// model is what products of one name share; its price is in cents.
type model struct {
	name  string
	cents int64
}

// product is one article of the catalogue.
type product struct {
	id      int
	number  string
	name    string
	color   string
	size    string
	cents   int64 // list price
	line    *line
	lineID  int // from 1
	modelID int // from 1
	variant int // of the model within its line, from 0
	photoID int // of its picture in production.productphoto
}

var categories = []string{"Bikes", "Components", "Clothing", "Accessories"}

var lines = []line{
	{0, "BR", "Road Bikes", []model{{"Kestrel 100", 64900}, {"Kestrel 300", 119900}, {"Kestrel 500", 229900}}, []string{"Red", "Black", "Blue"}, []string{"50", "54", "58"}, "CM", 8600},
	{0, "BM", "Mountain Bikes", []model{{"Copperhead 20", 54900}, {"Copperhead 40", 104900}, {"Copperhead 60", 249900}}, []string{"Orange", "Green", "Black"}, []string{"40", "44", "48"}, "CM", 13200},
	{0, "BT", "Touring Bikes", []model{{"Meridian North", 99900}, {"Meridian South", 134900}}, []string{"Blue", "Yellow", "Green"}, []string{"48", "52", "56"}, "CM", 13900},
	{0, "BC", "City Bikes", []model{{"Canal Classic", 47900}, {"Canal Step", 52900}}, []string{"Green", "White", "Blue"}, []string{"46", "50", "54"}, "CM", 15100},
	{0, "BK", "Kids Bikes", []model{{"Puffin", 18900}, {"Puffin Plus", 22900}}, []string{"Yellow", "Pink"}, []string{"16", "20"}, "IN", 8200},
	{0, "BE", "Electric Bikes", []model{{"Voltaic City", 189900}, {"Voltaic Trail", 289900}}, []string{"Grey", "Blue"}, []string{"46", "50", "54"}, "CM", 22400},
	{1, "CF", "Frames", []model{{"Kestrel Frame", 39900}, {"Copperhead Frame", 45900}, {"Meridian Frame", 35900}}, []string{"Red", "Black", "Blue"}, []string{"48", "52", "56"}, "CM", 1700},
	{1, "CW", "Wheels", []model{{"Gyre Front", 8900}, {"Gyre Rear", 10900}, {"Gyre Aero Front", 24900}, {"Gyre Aero Rear", 27900}}, []string{"Silver", "Black"}, []string{""}, "", 950},
	{1, "CH", "Handlebars", []model{{"Heron Drop Bar", 5900}, {"Heron Flat Bar", 3900}}, []string{"Black", "Silver"}, []string{""}, "", 310},
	{1, "CS", "Saddles", []model{{"Moss Saddle", 3400}, {"Moss Comfort Saddle", 4900}}, []string{"Black", "Orange"}, []string{""}, "", 330},
	{1, "CP", "Pedals", []model{{"Tread Flat Pedal", 2900}, {"Tread Clip Pedal", 6400}}, []string{"Silver", "Red"}, []string{""}, "", 380},
	{1, "CK", "Forks", []model{{"Plover Fork", 12900}, {"Plover Suspension Fork", 27900}}, []string{"Black", "White"}, []string{""}, "", 1600},
	{1, "CC", "Cranksets", []model{{"Quarry Crankset", 11900}, {"Quarry Light Crankset", 21900}}, []string{"Silver"}, []string{"170", "175"}, "MM", 720},
	{1, "CN", "Chains", []model{{"Quarry Chain", 2400}}, []string{"Silver"}, []string{""}, "", 260},
	{2, "WJ", "Jerseys", []model{{"Skylark Jersey", 5400}, {"Skylark Long Jersey", 6900}}, []string{"Red", "Blue", "Yellow", "Green"}, []string{"S", "M", "L", "XL"}, "", 160},
	{2, "WS", "Shorts", []model{{"Skylark Shorts", 5900}, {"Skylark Bib Shorts", 8900}}, []string{"Black", "Blue"}, []string{"S", "M", "L", "XL"}, "", 190},
	{2, "WG", "Gloves", []model{{"Finch Gloves", 2700}, {"Finch Winter Gloves", 4200}}, []string{"Black", "Red", "Blue"}, []string{"S", "M", "L"}, "", 60},
	{2, "WC", "Caps", []model{{"Finch Cap", 1400}}, []string{"Blue", "Red", "White"}, []string{""}, "", 45},
	{2, "WK", "Socks", []model{{"Finch Socks", 1100}, {"Finch Wool Socks", 1600}}, []string{"White", "Blue"}, []string{"S", "M", "L"}, "", 40},
	{2, "WV", "Vests", []model{{"Skylark Vest", 6400}}, []string{"Yellow", "Orange"}, []string{"S", "M", "L"}, "", 130},
	{3, "AH", "Helmets", []model{{"Acorn Helmet", 4900}, {"Acorn Aero Helmet", 11900}, {"Acorn Kids Helmet", 3400}}, []string{"Red", "Blue", "White", "Black"}, []string{""}, "", 270},
	{3, "AB", "Bottles", []model{{"Brook Bottle", 800}, {"Brook Thermal Bottle", 1900}}, []string{"Blue", "Green", "Orange", "White"}, []string{""}, "", 85},
	{3, "AG", "Bottle Cages", []model{{"Brook Cage", 1200}}, []string{"Black", "Silver"}, []string{""}, "", 40},
	{3, "AL", "Locks", []model{{"Badger U Lock", 4400}, {"Badger Padlock", 2100}}, []string{"Black", "Orange", "Blue"}, []string{""}, "", 1100},
	{3, "AP", "Pumps", []model{{"Gust Floor Pump", 3900}, {"Gust Mini Pump", 2200}}, []string{"Silver", "Black"}, []string{""}, "", 950},
	{3, "AI", "Lights", []model{{"Firefly Headlight", 3500}, {"Firefly Tail Light", 1900}}, []string{"Black"}, []string{""}, "", 90},
	{3, "AN", "Panniers", []model{{"Porter Pannier", 7900}, {"Porter Large Pannier", 9900}}, []string{"Red", "Grey", "Green", "Blue"}, []string{""}, "", 900},
	{3, "AT", "Tires", []model{{"Ramble Road Tire", 3200}, {"Ramble Trail Tire", 3900}}, []string{"Black"}, []string{"26", "28"}, "IN", 480},
	{3, "AD", "Bells", []model{{"Chime Bell", 1300}}, []string{"Silver", "Red", "Yellow"}, []string{""}, "", 60},
	{3, "AK", "Tool Kits", []model{{"Tinker Tool Kit", 2600}}, []string{"Black", "Blue"}, []string{""}, "", 240},
}

// colorCodes shorten colours in product numbers.
var colorCodes = map[string]string{"Red": "RD", "Black": "BK", "Orange": "OR", "Green": "GN", "Blue": "BL", "Yellow": "YL", "White": "WH",
	"Pink": "PK", "Grey": "GY", "Silver": "SV"}

// noImageID is the photo "no image available", shared by every product whose picture was never taken.
const noImageID = 1

// picture is one photo of production.productphoto: a model in a colour.
type picture struct {
	id      int // noImageID, or from 2
	line    *line
	variant int
	color   string
	name    string // of the file, without extension
}

// catalog is everything the sample knows about products. It is the same for every seed.
type catalog struct {
	products []product
	models   []catalogModel // by id - 1
	pictures []picture      // by id - 2
}

type catalogModel struct {
	model
	line    *line
	variant int
}

// noPicture tells which models were never photographed: their products show noImageID.
func noPicture(l *line, variant int) bool {
	switch l.code {
	case "CN", "CC", "AK":
		return true
	case "CF":
		return variant == 2
	case "WS", "WK":
		return variant == 1
	}
	return false
}

func newCatalog() *catalog {
	c := &catalog{}
	for li := range lines {
		l := &lines[li]
		for v, m := range l.models {
			c.models = append(c.models, catalogModel{m, l, v})
			for ci, color := range l.colors {
				photo := noImageID
				if !noPicture(l, v) {
					photo = len(c.pictures) + 2
					c.pictures = append(c.pictures, picture{photo, l, v, color,
						strings.ToLower(strings.ReplaceAll(m.name, " ", "_")) + "_" + strings.ToLower(color)})
				}
				for si, size := range l.sizes {
					p := product{id: len(c.products) + 1, color: color, size: size, line: l, lineID: li + 1, modelID: len(c.models),
						variant: v, photoID: photo, cents: m.cents + int64(ci)*100 + int64(si)*m.cents/50}
					p.number = fmt.Sprintf("%s-%03d-%s", l.code, 100+p.modelID, colorCodes[color])
					p.name = m.name + " " + color
					if size != "" {
						p.number += "-" + size
						p.name += ", " + size
					}
					c.products = append(c.products, p)
				}
			}
		}
	}
	return c
}
