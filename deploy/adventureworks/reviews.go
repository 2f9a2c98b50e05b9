package adventureworks

import (
	"strconv"
	"strings"
)

// review is one customer's opinion.
type review struct {
	product  *product
	author   string
	email    string
	rating   int
	title    string
	text     string
	language string
}

// reviewLanguage holds the pieces a review is made of. The verdicts go from one star to five.
type reviewLanguage struct {
	code     string
	weight   int // of 100 reviews; the weights of all add up to 100
	titles   [5][]string
	verdicts [5][]string
	uses     []string // %d is a number of weeks, days or rides
	details  [4][]string
	join     string
}

// newReview makes a review up. With newlines, now and then one stretches over two lines.
func newReview(d dice, c *catalog, newlines bool) review {
	p := &c.products[d.IntN(len(c.products))]
	roll, at := d.IntN(100), 0
	for ; roll >= reviewLanguages[at].weight; at++ {
		roll -= reviewLanguages[at].weight
	}
	l := &reviewLanguages[at]
	r := review{product: p, rating: [...]int{5, 5, 5, 5, 4, 4, 4, 3, 2, 1}[d.IntN(10)], language: l.code}
	first, last := pick(d, firstNames), pick(d, lastNames)
	r.author = first + " " + last
	r.email = strings.ToLower(first) + "." + strings.ToLower(last) + strconv.Itoa(d.IntN(90)+10) + "@" + pick(d, mailDomains)
	r.title = pick(d, l.titles[r.rating-1])
	join := l.join
	if newlines && d.IntN(12) == 0 {
		join = "\n"
	}
	use := strings.Replace(pick(d, l.uses), "%d", strconv.Itoa(d.between(2, 60)), 1)
	r.text = pick(d, l.verdicts[r.rating-1]) + l.join + use
	if d.IntN(3) > 0 {
		r.text += join + pick(d, l.details[p.line.category])
	}
	return r
}

var reviewLanguages = []reviewLanguage{
	{
		code: "en", weight: 55, join: " ",
		titles: [5][]string{
			{"Sent it back", "Not what I hoped for", "Broke on day two"}, {"Disappointing", "Fine, but no more than that"},
			{"It does the job", "Mixed feelings", "Average"}, {"Very good", "Good value", "Nearly perfect"},
			{"Love it!", "Worth every penny", "Best purchase of the year", "\"Wow\" is the word"},
		},
		verdicts: [5][]string{
			{"It failed much too soon and I asked for my money back.", "I wanted to like it, but the quality is poor.", "Nothing about it matched the description."},
			{"It works, although I expected better finishing at this price.", "The idea is good, the execution less so.", "I had to adjust it three times before it was usable."},
			{"Neither good nor bad: it does what it says.", "Some things I like, others I do not.", "For the price it is acceptable."},
			{"I am very satisfied, apart from one small scratch in the paint.", "Well made, well packed, quickly delivered.", "A sound choice that I would make again."},
			{"Exactly what I was looking for, I recommend it to everybody.", "Beautifully made; my neighbours keep asking where I bought it.", "I could not be happier with it.", "Perfect in every way: looks, weight, comfort."},
		},
		uses: []string{"I have used it for %d weeks now.", "After %d days of rain and mud I know it well.", "It has been with me to work and back, %d times so far.", "I gave it to my daughter %d weeks ago."},
		details: [4][]string{
			{"The gears change cleanly, even uphill.", "The brakes are strong, though a little noisy when wet.", "Assembly took an hour with the tools in the box."},
			{"It fitted my old frame without any trouble.", "The bolts are of good steel; use a torque wrench.", "No creaking, no play, nothing to adjust."},
			{"It runs small, so order one size up.", "The colour has not faded after many washes.", "The seams do not rub, even on long days."},
			{"It fits in my jersey pocket.", "The instructions say \"easy\", and for once it is true.", "It came with every screw, and two spare ones."},
		},
	},
	{
		code: "fr", weight: 20, join: " ",
		titles: [5][]string{
			{"Renvoyé", "Très déçu"}, {"Décevant", "Peut mieux faire"}, {"Correct, sans plus", "Moyen"}, {"Très bien", "Bon rapport qualité-prix"},
			{"Parfait !", "Je recommande", "Une vraie réussite"},
		},
		verdicts: [5][]string{
			{"L'article s'est cassé dès la première sortie.", "Rien ne correspond à la description."},
			{"Ça fonctionne, mais les finitions laissent à désirer.", "L'idée est bonne, la réalisation beaucoup moins."},
			{"Ni bon ni mauvais : l'article fait ce qu'on lui demande.", "Pour ce prix, c'est acceptable."},
			{"J'en suis content, malgré une petite rayure à l'arrivée.", "Bien fabriqué, bien emballé, vite livré."},
			{"Exactement ce que je cherchais, je le conseille à tous.", "Une qualité remarquable, jusque dans les détails.", "Je ne pourrais plus m'en passer."},
		},
		uses: []string{"Je m'en sers depuis %d semaines.", "Après %d jours de pluie, rien à redire.", "Déjà %d sorties au compteur."},
		details: [4][]string{
			{"Les vitesses passent sans accroc, même en côte.", "Le freinage est franc, un peu bruyant sous la pluie."},
			{"Le montage n'a posé aucun problème sur mon ancien cadre.", "Aucun jeu, aucun grincement."},
			{"La coupe est petite : prenez une taille au-dessus.", "Les couleurs tiennent bien au lavage."},
			{"Toutes les vis étaient là, avec deux de rechange.", "La notice est claire, c'est assez rare."},
		},
	},
	{
		code: "zh", weight: 10, join: "",
		titles:   [5][]string{{"已退货", "质量太差"}, {"有点失望"}, {"一般", "还可以"}, {"很好", "性价比高"}, {"非常满意！", "强烈推荐"}},
		verdicts: [5][]string{{"用了两天就坏了。"}, {"能用，但做工不如预期。"}, {"不好不坏，够用。"}, {"做工很好，发货也快。"}, {"正是我想要的，推荐给大家。", "细节做得非常好。"}},
		uses:     []string{"已经用了%d个星期。", "骑行%d次后依然如新。"},
		details:  [4][]string{{"变速顺畅，上坡也轻松。"}, {"安装很顺利，没有异响。"}, {"尺码偏小，建议买大一号。"}, {"说明书清楚，配件齐全。"}},
	},
	{
		code: "ar", weight: 5, join: " ",
		titles:   [5][]string{{"أعدته"}, {"مخيب للآمال"}, {"مقبول"}, {"جيد جداً"}, {"ممتاز!", "أنصح به"}},
		verdicts: [5][]string{{"انكسر في اليوم الثاني."}, {"يعمل، لكن الجودة أقل مما توقعت."}, {"لا بأس به مقابل السعر."}, {"صناعة جيدة ووصل بسرعة."}, {"هذا ما كنت أبحث عنه تماماً."}},
		uses:     []string{"أستعمله منذ %d يوماً."},
		details:  [4][]string{{"تبديل السرعات سلس حتى في الصعود."}, {"كان التركيب سهلاً."}, {"المقاس صغير قليلاً."}, {"كل القطع كانت في العلبة."}},
	},
	{
		code: "he", weight: 5, join: " ",
		titles:   [5][]string{{"החזרתי"}, {"מאכזב"}, {"סביר"}, {"טוב מאוד"}, {"מושלם!", "מומלץ בחום"}},
		verdicts: [5][]string{{"נשבר כבר ביום השני."}, {"עובד, אבל ציפיתי לאיכות טובה יותר."}, {"לא רע ביחס למחיר."}, {"איכות טובה ומשלוח מהיר."}, {"בדיוק מה שחיפשתי."}},
		uses:     []string{"בשימוש כבר %d שבועות."},
		details:  [4][]string{{"ההילוכים עוברים חלק גם בעלייה."}, {"ההרכבה הייתה קלה."}, {"המידה קטנה, כדאי להזמין מידה אחת יותר."}, {"כל הברגים היו באריזה."}},
	},
	{
		code: "th", weight: 5, join: " ",
		titles:   [5][]string{{"ส่งคืนแล้ว"}, {"น่าผิดหวัง"}, {"พอใช้ได้"}, {"ดีมาก"}, {"ประทับใจมาก", "แนะนำเลย"}},
		verdicts: [5][]string{{"ใช้ได้สองวันก็พัง"}, {"ใช้ได้ แต่งานไม่ละเอียดอย่างที่คิด"}, {"คุณภาพพอเหมาะกับราคา"}, {"งานดี ส่งของเร็ว"}, {"ตรงกับที่ต้องการทุกอย่าง"}},
		uses:     []string{"ใช้มาแล้ว %d สัปดาห์"},
		details:  [4][]string{{"เปลี่ยนเกียร์ลื่นแม้ตอนขึ้นเขา"}, {"ติดตั้งง่ายมาก"}, {"ไซซ์ค่อนข้างเล็ก ควรสั่งใหญ่ขึ้นหนึ่งเบอร์"}, {"อุปกรณ์มาครบทุกชิ้น"}},
	},
}

var firstNames = []string{"Ada", "Amir", "Anouk", "Bao", "Camille", "Chloe", "Dalia", "Dario", "Elif", "Emile", "Farah", "Felix", "Gita", "Hugo", "Ines",
	"Ivo", "Jamal", "Jonas", "Kenji", "Kim", "Lea", "Louis", "Malik", "Maya", "Mei", "Nadia", "Nils", "Noa", "Olga", "Omar", "Pim", "Priya", "Quentin", "Rania",
	"Rosa", "Sami", "Somchai", "Tamar", "Theo", "Uma", "Victor", "Wanda", "Xavier", "Yael", "Yusuf", "Zoe"}

var lastNames = []string{"Abiodun", "Almeida", "Arslan", "Bakker", "Barbier", "Benhaim", "Berg", "Chaiya", "Cohen", "Costa", "Dubois", "Eriksen", "Fontaine",
	"Garnier", "Haddad", "Hoang", "Ibrahim", "Jansen", "Kaya", "Keller", "Lacroix", "Levy", "Lindqvist", "Mansour", "Marchand", "Mizrahi", "Moreau", "Nakamura",
	"Novak", "Okafor", "Park", "Petit", "Quispe", "Rahimi", "Roussel", "Saetang", "Schmid", "Tanaka", "Toure", "Varga", "Wen", "Yilmaz", "Zhao"}

var mailDomains = []string{"example.com", "example.org", "example.net", "mail.example"}
