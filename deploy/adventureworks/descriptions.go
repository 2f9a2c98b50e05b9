package adventureworks

// languages are the cultures of the descriptions, in the order of the texts below.
var languages = [...]struct{ code, name string }{
	{"ar", "Arabic"}, {"en", "English"}, {"fr", "French"}, {"he", "Hebrew"}, {"th", "Thai"}, {"zh", "Chinese"},
}

// texts is one sentence in every language, in the order of languages.
type texts [len(languages)]string

// description is the marketing text of a model in one language: what the article is, and what its category promises.
func description(m catalogModel, language int) string {
	promises := &categoryTexts[m.line.category]
	join := " "
	if languages[language].code == "zh" {
		join = ""
	}
	text := lineTexts[m.line.code][language] + join + promises[m.variant%len(promises)][language]
	if m.cents > 20000 {
		text += join + promises[(m.variant+1)%len(promises)][language]
	}
	return text
}

// lineTexts says what an article of a line is, by the line's code.
var lineTexts = map[string]texts{
	"BR": {
		"دراجة طريق خفيفة وسريعة الاستجابة للمسافات الطويلة والصعود الحاد.",
		"A light, lively road bike for long distances and steep climbs.",
		"Un vélo de route léger et vif, pour les longues distances et les côtes raides.",
		"אופני כביש קלים וזריזים לרכיבות ארוכות ולעליות תלולות.",
		"จักรยานเสือหมอบน้ำหนักเบา ตอบสนองไว เหมาะสำหรับทางไกลและทางขึ้นเขาชัน",
		"轻巧灵敏的公路自行车，适合长途骑行和陡坡爬升。",
	},
	"BM": {
		"دراجة جبلية متينة تحافظ على توازنها فوق الصخور والجذور.",
		"A sturdy mountain bike that stays calm over rocks and roots.",
		"Un VTT robuste qui reste stable sur les pierres et les racines.",
		"אופני הרים חזקים ששומרים על יציבות מעל סלעים ושורשים.",
		"จักรยานเสือภูเขาที่แข็งแรง ทรงตัวดีบนทางหินและรากไม้",
		"坚固的山地自行车，越过岩石和树根依然平稳。",
	},
	"BT": {
		"دراجة رحلات مريحة مصممة لحمل الأمتعة أياماً متتالية.",
		"A comfortable touring bike built to carry luggage for days on end.",
		"Un vélo de randonnée confortable, conçu pour porter des bagages pendant des jours.",
		"אופני טיולים נוחים שנבנו לשאת מטען במשך ימים ארוכים.",
		"จักรยานทัวริ่งที่นั่งสบาย ออกแบบมาให้บรรทุกสัมภาระได้หลายวันติดต่อกัน",
		"舒适的旅行自行车，可连续多日载运行李。",
	},
	"BC": {
		"دراجة مدينة أنيقة بوضعية جلوس مستقيمة للتنقل اليومي.",
		"An elegant city bike with an upright position for every day.",
		"Un vélo de ville élégant, à la position droite, pour tous les jours.",
		"אופני עיר אלגנטיים עם תנוחת ישיבה זקופה לשימוש יומיומי.",
		"จักรยานในเมืองดีไซน์เรียบหรู ท่านั่งหลังตรง ใช้ได้ทุกวัน",
		"优雅的城市自行车，坐姿挺直，适合日常出行。",
	},
	"BK": {
		"دراجة أطفال آمنة وسهلة القيادة لأولى المغامرات.",
		"A safe, easy children's bike for the first adventures.",
		"Un vélo pour enfant sûr et facile, pour les premières aventures.",
		"אופני ילדים בטוחים וקלים לרכיבה להרפתקאות הראשונות.",
		"จักรยานเด็กที่ปลอดภัยและขี่ง่าย สำหรับการผจญภัยครั้งแรก",
		"安全易骑的儿童自行车，陪伴孩子的第一次冒险。",
	},
	"BE": {
		"دراجة كهربائية بمحرك هادئ وبطارية تكفي لأسبوع من التنقل.",
		"An electric bike with a quiet motor and a battery that lasts a week of commuting.",
		"Un vélo électrique au moteur silencieux, dont la batterie tient une semaine de trajets.",
		"אופניים חשמליים עם מנוע שקט וסוללה שמספיקה לשבוע של נסיעות.",
		"จักรยานไฟฟ้ามอเตอร์เงียบ แบตเตอรี่ใช้เดินทางได้ตลอดสัปดาห์",
		"电动自行车，电机安静，电池足够一周通勤。",
	},
	"CF": {
		"إطار صلب وخفيف، ملحوم يدوياً ومفحوص قطعة قطعة.",
		"A stiff, light frame, welded by hand and inspected one by one.",
		"Un cadre rigide et léger, soudé à la main et contrôlé pièce par pièce.",
		"שלדה קשיחה וקלה, מרותכת ביד ונבדקת אחת אחת.",
		"เฟรมแข็งและเบา เชื่อมด้วยมือและตรวจสอบทีละชิ้น",
		"刚性好、重量轻的车架，手工焊接，逐一检验。",
	},
	"CW": {
		"عجلة متوازنة بأسلاك متينة تبقى مستقيمة عاماً بعد عام.",
		"A well-balanced wheel with strong spokes that stays true year after year.",
		"Une roue bien équilibrée, aux rayons solides, qui reste droite année après année.",
		"גלגל מאוזן עם חישורים חזקים שנשאר ישר שנה אחר שנה.",
		"ล้อที่สมดุล ซี่ลวดแข็งแรง ไม่คดแม้ใช้งานหลายปี",
		"平衡良好的车轮，辐条结实，多年使用仍保持平直。",
	},
	"CH": {
		"مقود مريح يمنح اليدين أكثر من وضعية.",
		"A comfortable handlebar that offers the hands several positions.",
		"Un guidon confortable qui offre plusieurs positions aux mains.",
		"כידון נוח שמציע לידיים כמה תנוחות אחיזה.",
		"แฮนด์จับสบาย วางมือได้หลายตำแหน่ง",
		"握感舒适的车把，双手可变换多种位置。",
	},
	"CS": {
		"سرج بحشوة ناعمة وشكل يخفف الضغط.",
		"A saddle with soft padding and a shape that relieves pressure.",
		"Une selle au rembourrage souple, dont la forme soulage la pression.",
		"אוכף עם ריפוד רך וצורה שמפחיתה לחץ.",
		"อานบุนุ่ม รูปทรงช่วยลดแรงกดทับ",
		"坐垫填充柔软，造型可减轻压力。",
	},
	"CP": {
		"دواسة تدور بسلاسة وتثبت القدم حتى في المطر.",
		"A pedal that turns smoothly and holds the foot even in the rain.",
		"Une pédale qui tourne en douceur et tient le pied même sous la pluie.",
		"דוושה שמסתובבת חלק ומחזיקה את כף הרגל גם בגשם.",
		"บันไดหมุนลื่น ยึดเท้าได้มั่นแม้ในวันฝนตก",
		"脚踏转动顺滑，雨天也能稳稳抓住鞋底。",
	},
	"CK": {
		"شوكة أمامية دقيقة التوجيه تمتص اهتزازات الطريق.",
		"A fork that steers precisely and soaks up the road's vibrations.",
		"Une fourche à la direction précise, qui absorbe les vibrations de la route.",
		"מזלג שמנווט בדיוק וסופג את רעידות הדרך.",
		"ตะเกียบหน้าบังคับเลี้ยวแม่นยำ ซับแรงสั่นสะเทือนจากถนน",
		"前叉转向精准，能吸收路面震动。",
	},
	"CC": {
		"طقم ذراع تدوير متين ينقل كل جهد إلى العجلة.",
		"A solid crankset that carries every effort to the wheel.",
		"Un pédalier solide qui transmet chaque effort à la roue.",
		"מערכת קראנק חזקה שמעבירה כל מאמץ אל הגלגל.",
		"ชุดจานขาที่แข็งแรง ส่งทุกแรงปั่นไปถึงล้อ",
		"坚固的牙盘，把每一分力量传到车轮。",
	},
	"CN": {
		"سلسلة هادئة مقاومة للصدأ وسهلة التنظيف.",
		"A quiet chain that resists rust and is easy to clean.",
		"Une chaîne silencieuse, résistante à la rouille et facile à nettoyer.",
		"שרשרת שקטה, עמידה בחלודה וקלה לניקוי.",
		"โซ่เดินเงียบ ไม่เป็นสนิมง่าย ทำความสะอาดสะดวก",
		"链条安静防锈，易于清洁。",
	},
	"WJ": {
		"قميص ركوب يسمح بمرور الهواء وله ثلاثة جيوب خلفية.",
		"A breathable cycling jersey with three pockets at the back.",
		"Un maillot de cyclisme respirant, avec trois poches dans le dos.",
		"חולצת רכיבה נושמת עם שלושה כיסים בגב.",
		"เสื้อปั่นจักรยานระบายอากาศดี มีกระเป๋าหลังสามช่อง",
		"透气的骑行服，背部有三个口袋。",
	},
	"WS": {
		"سروال قصير مرن ببطانة مريحة لساعات طويلة على السرج.",
		"Stretch shorts with a comfortable pad for long hours in the saddle.",
		"Un cuissard extensible, à la peau confortable, pour de longues heures en selle.",
		"מכנסיים קצרים ונמתחים עם ריפוד נוח לשעות ארוכות על האוכף.",
		"กางเกงปั่นขาสั้นผ้ายืด มีเป้ารองนั่งสบายตลอดหลายชั่วโมง",
		"弹性骑行短裤，坐垫舒适，适合长时间骑行。",
	},
	"WG": {
		"قفازات بكف مبطن وقبضة ثابتة على المقود.",
		"Gloves with a padded palm and a firm grip on the bar.",
		"Des gants à la paume rembourrée, pour une bonne prise sur le guidon.",
		"כפפות עם כף יד מרופדת ואחיזה יציבה בכידון.",
		"ถุงมือบุฝ่ามือ จับแฮนด์ได้กระชับ",
		"手掌加垫的手套，握把稳固。",
	},
	"WC": {
		"قبعة قطنية خفيفة توضع تحت الخوذة أو وحدها.",
		"A light cotton cap to wear under the helmet or on its own.",
		"Une casquette légère en coton, à porter sous le casque ou seule.",
		"כובע כותנה קל לחבישה מתחת לקסדה או בלעדיה.",
		"หมวกผ้าฝ้ายน้ำหนักเบา ใส่ใต้หมวกกันน็อกหรือใส่เดี่ยวก็ได้",
		"轻薄棉质小帽，可戴在头盔下，也可单独佩戴。",
	},
	"WK": {
		"جوارب ناعمة تبقي القدمين جافتين ومرتاحتين.",
		"Soft socks that keep the feet dry and at ease.",
		"Des chaussettes douces qui gardent les pieds au sec et à l'aise.",
		"גרביים רכים ששומרים על כפות רגליים יבשות ונינוחות.",
		"ถุงเท้านุ่ม ช่วยให้เท้าแห้งและสบาย",
		"柔软的袜子，让双脚保持干爽舒适。",
	},
	"WV": {
		"صدرية واقية من الريح بألوان تُرى من بعيد.",
		"A windproof vest in colours that are seen from afar.",
		"Un gilet coupe-vent aux couleurs visibles de loin.",
		"אפודה נגד רוח בצבעים שנראים למרחוק.",
		"เสื้อกั๊กกันลม สีเด่นมองเห็นได้จากระยะไกล",
		"防风背心，色彩醒目，远处即可看见。",
	},
	"AH": {
		"خوذة خفيفة بفتحات تهوية وضبط سريع للمقاس.",
		"A light helmet with air vents and quick size adjustment.",
		"Un casque léger et aéré, au réglage rapide.",
		"קסדה קלה עם פתחי אוורור והתאמת מידה מהירה.",
		"หมวกกันน็อกน้ำหนักเบา มีช่องระบายอากาศ ปรับขนาดได้รวดเร็ว",
		"轻便透气的头盔，可快速调节尺寸。",
	},
	"AB": {
		"قارورة ماء بلا طعم بلاستيكي، سهلة الفتح بيد واحدة.",
		"A water bottle without any taste of plastic, easy to open with one hand.",
		"Une gourde sans goût de plastique, facile à ouvrir d'une seule main.",
		"בקבוק מים ללא טעם של פלסטיק, נפתח בקלות ביד אחת.",
		"ขวดน้ำไม่มีกลิ่นพลาสติก เปิดง่ายด้วยมือเดียว",
		"水壶无塑料味，单手即可轻松打开。",
	},
	"AG": {
		"حامل قارورة يمسك بها بإحكام على أسوأ الطرق.",
		"A bottle cage that holds tight on the worst of roads.",
		"Un porte-bidon qui tient bon sur les pires routes.",
		"מתקן לבקבוק שאוחז היטב גם בדרכים הגרועות ביותר.",
		"ขากระติกน้ำยึดแน่น แม้บนถนนที่ขรุขระที่สุด",
		"水壶架夹持牢固，再颠簸的路也不松动。",
	},
	"AL": {
		"قفل من الفولاذ المقسى يصعب قصه.",
		"A lock of hardened steel that is hard to cut.",
		"Un antivol en acier trempé, difficile à couper.",
		"מנעול מפלדה מחוסמת שקשה לחתוך.",
		"กุญแจล็อกจักรยานทำจากเหล็กกล้าชุบแข็ง ตัดยาก",
		"淬火钢车锁，难以剪断。",
	},
	"AP": {
		"منفاخ يملأ الإطار بسرعة ويناسب جميع الصمامات.",
		"A pump that fills a tire quickly and fits every valve.",
		"Une pompe qui gonfle vite et s'adapte à toutes les valves.",
		"משאבה שמנפחת צמיג במהירות ומתאימה לכל שסתום.",
		"ที่สูบลมเติมลมยางได้เร็ว ใช้ได้กับวาล์วทุกแบบ",
		"打气筒充气迅速，适用于各种气嘴。",
	},
	"AI": {
		"مصباح ساطع يُشحن عبر منفذ USB ويقاوم الماء.",
		"A bright, waterproof light that charges over USB.",
		"Un éclairage puissant et étanche, rechargeable par USB.",
		"פנס חזק ועמיד במים שנטען ב-USB.",
		"ไฟจักรยานสว่าง กันน้ำ ชาร์จผ่าน USB",
		"明亮防水的车灯，可用 USB 充电。",
	},
	"AN": {
		"حقيبة جانبية مقاومة للماء تُركب وتُنزع في ثوان.",
		"A waterproof pannier that goes on and off in seconds.",
		"Une sacoche étanche qui se fixe et se retire en quelques secondes.",
		"תיק צד עמיד במים שמתחבר ומתנתק בתוך שניות.",
		"กระเป๋าข้างจักรยานกันน้ำ ติดและถอดได้ในไม่กี่วินาที",
		"防水驮包，几秒钟即可装卸。",
	},
	"AT": {
		"إطار ثابت التماسك ومقاوم للثقوب.",
		"A tire with reliable grip and protection against punctures.",
		"Un pneu à l'adhérence fiable, protégé contre les crevaisons.",
		"צמיג עם אחיזה אמינה והגנה מפני תקרים.",
		"ยางเกาะถนนดีและป้องกันการรั่ว",
		"轮胎抓地可靠，防刺耐用。",
	},
	"AD": {
		"جرس صافي الصوت يُسمع دون أن يزعج.",
		"A clear-sounding bell that is heard without startling anyone.",
		"Une sonnette au son clair, que l'on entend sans sursauter.",
		"פעמון בעל צליל צלול שנשמע בלי להבהיל.",
		"กระดิ่งเสียงใส ได้ยินชัดโดยไม่ทำให้ตกใจ",
		"铃声清脆，提醒而不惊扰。",
	},
	"AK": {
		"طقم أدوات صغير فيه كل ما يلزم للإصلاح على الطريق.",
		"A small tool kit with everything a roadside repair needs.",
		"Une petite trousse à outils avec tout le nécessaire pour réparer en route.",
		"ערכת כלים קטנה עם כל מה שצריך לתיקון בדרך.",
		"ชุดเครื่องมือขนาดเล็ก มีครบทุกอย่างสำหรับซ่อมระหว่างทาง",
		"小巧的工具包，路上维修所需一应俱全。",
	},
}

// categoryTexts are what the articles of a category promise, by category.
var categoryTexts = [...][3]texts{
	{
		{
			"تصل إليك مضبوطة وجاهزة للركوب.",
			"It arrives adjusted and ready to ride.",
			"Il arrive réglé et prêt à rouler.",
			"הם מגיעים מכוונים ומוכנים לרכיבה.",
			"ปรับตั้งมาให้เรียบร้อย พร้อมขี่ทันที",
			"出厂已调校，到手即可骑行。",
		},
		{
			"المكابح القرصية توقفها بثقة على الطرق المبتلة.",
			"Disc brakes stop it with confidence on wet roads.",
			"Les freins à disque l'arrêtent sans crainte sur route mouillée.",
			"בלמי הדיסק עוצרים אותם בביטחון גם בכביש רטוב.",
			"ดิสก์เบรกหยุดได้มั่นใจแม้บนถนนเปียก",
			"碟刹在湿滑路面也能安心制动。",
		},
		{
			"الهيكل مضمون مدى الحياة.",
			"The frame is guaranteed for life.",
			"Le cadre est garanti à vie.",
			"השלדה באחריות לכל החיים.",
			"รับประกันเฟรมตลอดอายุการใช้งาน",
			"车架终身质保。",
		},
	},
	{
		{
			"التركيب سهل بالأدوات المعتادة.",
			"Easy to fit with ordinary tools.",
			"Se monte facilement avec des outils ordinaires.",
			"הרכבה קלה בכלים רגילים.",
			"ติดตั้งง่ายด้วยเครื่องมือทั่วไป",
			"用普通工具即可轻松安装。",
		},
		{
			"آلاف الكيلومترات من الاختبار قبل البيع.",
			"Thousands of kilometres of testing before it is sold.",
			"Des milliers de kilomètres d'essais avant la vente.",
			"אלפי קילומטרים של בדיקות לפני המכירה.",
			"ผ่านการทดสอบหลายพันกิโลเมตรก่อนวางจำหน่าย",
			"上市前经过数千公里测试。",
		},
		{
			"قطع الغيار متوفرة لعشر سنوات.",
			"Spare parts are available for ten years.",
			"Les pièces de rechange sont disponibles pendant dix ans.",
			"חלקי חילוף זמינים למשך עשר שנים.",
			"มีอะไหล่รองรับนานสิบปี",
			"备件供应十年。",
		},
	},
	{
		{
			"الغسيل على حرارة 30 درجة والتجفيف سريع.",
			"Washes at 30 degrees and dries quickly.",
			"Se lave à 30 degrés et sèche vite.",
			"כביסה ב-30 מעלות וייבוש מהיר.",
			"ซักที่อุณหภูมิ 30 องศา แห้งเร็ว",
			"30 度水温可洗，快速晾干。",
		},
		{
			"القماش من ألياف معاد تدويرها.",
			"The fabric is made of recycled fibres.",
			"Le tissu est fait de fibres recyclées.",
			"הבד עשוי מסיבים ממוחזרים.",
			"เนื้อผ้าผลิตจากเส้นใยรีไซเคิล",
			"面料采用再生纤维制成。",
		},
		{
			"خيوط عاكسة تجعلك مرئياً ليلاً.",
			"Reflective threads make you visible at night.",
			"Des fils réfléchissants vous rendent visible la nuit.",
			"חוטים מחזירי אור הופכים אתכם לנראים בלילה.",
			"เส้นด้ายสะท้อนแสงช่วยให้มองเห็นได้ในเวลากลางคืน",
			"反光线让你在夜间清晰可见。",
		},
	},
	{
		{
			"للاستعمال اليومي في كل الأجواء.",
			"For everyday use in all weathers.",
			"Pour un usage quotidien, par tous les temps.",
			"לשימוש יומיומי בכל מזג אוויר.",
			"สำหรับใช้งานทุกวันในทุกสภาพอากาศ",
			"适合全天候日常使用。",
		},
		{
			"ضمان لمدة خمس سنوات.",
			"With a five-year guarantee.",
			"Garantie de cinq ans.",
			"אחריות לחמש שנים.",
			"รับประกันห้าปี",
			"质保五年。",
		},
		{
			"مع دليل استخدام بست لغات.",
			"Comes with instructions in six languages.",
			"Mode d'emploi fourni en six langues.",
			"מצורף מדריך שימוש בשש שפות.",
			"มาพร้อมคู่มือการใช้งานหกภาษา",
			"附六种语言说明书。",
		},
	},
}
