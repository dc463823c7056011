"""The grammar of the generated reviews (``sentiment.data.generate``). Data only.

A rule's options are separated by bars or line ends; ``3*`` makes one three times as likely. ``{x}``
expands the rule x, ``{^x}`` with a capital letter, ``{-x}`` with the opposite opinion. So what
"not" does to "good" is written once, for good and bad reviews.
"""

from typing import Final

# Rules with a text for each opinion, good and bad; those below inherit theirs from these.
POLAR: Final[dict[str, tuple[str, str]]] = {
    "adj": (
        """good | good | great | great | excellent | wonderful | amazing | fantastic | perfect
        awesome | lovely | beautiful | brilliant | superb | outstanding | delightful | charming
        impressive | reliable | sturdy | solid | durable | useful | handy | helpful | practical
        comfortable | elegant | clever | well made | well designed | easy to use | pleasant
        fine | nice | decent | fresh | enjoyable | remarkable | splendid | terrific | fabulous
        first-rate | top-notch | flawless | trustworthy | satisfying | fun | magnificent
        worthwhile | likeable | honest | convincing | accurate | precise | special | smart
        exceptional | marvelous""",
        """bad | bad | terrible | terrible | awful | horrible | poor | useless | worthless
        disappointing | dreadful | lousy | cheaply made | flimsy | shoddy | broken | defective
        faulty | ugly | boring | dull | annoying | frustrating | painful | uncomfortable
        clumsy | pathetic | badly made | badly designed | hard to use | unpleasant | mediocre
        weak | stale | tedious | disgusting | atrocious | abysmal | appalling | second-rate
        unusable | unreliable | sloppy | misleading | ridiculous | overpriced | miserable
        crude | fragile | dishonest | tiresome | inaccurate | confusing | awkward | stupid
        inferior | junky | crappy | laughable""",
    ),
    "a_adj": (
        """a good | a great | an excellent | a wonderful | an amazing | a fantastic | a lovely
        a beautiful | a superb | an outstanding | a reliable | a useful | a solid | a brilliant
        a clever | a nice | an impressive | a perfect | a charming | a first-rate""",
        """a bad | a terrible | an awful | a horrible | a poor | a useless | a worthless
        a lousy | a dreadful | a flimsy | a shoddy | a clumsy | a disappointing | an ugly
        a mediocre | an unreliable | a boring | a faulty | a pathetic | a second-rate""",
    ),
    "comp": (
        """3* better | nicer | easier | more useful | more reliable | more fun | smoother
        happier""",
        """3* worse | uglier | harder | more useless | more annoying | more boring | flimsier
        sadder""",
    ),
    "best": ("2* best | finest | nicest | greatest", "2* worst | poorest | ugliest | dumbest"),
    "well": (
        "2* well | 2* perfectly | great | beautifully | flawlessly | nicely | very well | fine",
        """2* poorly | badly | terribly | horribly | miserably | clumsily | very badly
        too slowly""",
    ),
    "feel": (
        """impressed | happy | pleased | satisfied | delighted | thrilled | amazed | glad
        content | grateful | convinced | excited | enthusiastic | charmed""",
        """disappointed | unhappy | annoyed | upset | frustrated | angry | let down | sorry
        bored | disgusted | embarrassed | unimpressed | dissatisfied | fed up""",
    ),
    "love": (
        """3* love | 2* like | enjoy | adore | 2* recommend | trust | treasure | appreciate
        praise | miss using | admire""",
        """2* hate | 3* regret buying | dislike | despise | resent | regret | detest | distrust
        complain about | curse | feel cheated by""",
    ),
    "act": (
        """work | help | last | hold up | deliver | live up to the hype | do the job | impress me
        please anyone | make me smile | keep its promise | perform well | satisfy me
        meet my needs | do what it says | win me over | surprise me in a good way""",
        """break | fail | fall apart | disappoint | let me down | wear out | fade | get stuck
        bore me | waste my time | annoy me | give me trouble | make a mess | cause problems
        die | get in the way | drive me crazy""",
    ),
    "acts": (
        """works | helps | delivers | does the job | impresses me | makes me smile | pleases
        keeps its promise | performs well | satisfies | wins me over | lives up to the hype""",
        """breaks | fails | falls apart | disappoints | lets me down | gets stuck | bores me
        wastes my time | annoys me | gives me trouble | causes problems | drives me crazy""",
    ),
    "noun": (
        """a joy | a joy to use | money well spent | a real bargain | a pleasure | a winner
        a gem | 2* worth it | worth the price | worth the money | worth every cent
        worth my time | worth buying | a masterpiece | a keeper | the best choice
        the best purchase of the year | a success | a dream come true | a bargain | a treat
        good value | a good deal | a favorite | what I wanted | what I hoped for
        as good as they say | good enough for me""",
        """2* a waste of money | a waste of time | a waste | a piece of junk | junk | garbage
        a joke | a rip-off | a disaster | a letdown | a disappointment | a mistake
        a nightmare | the worst choice | the worst purchase of the year | money down the drain
        a failure | a scam | a pain | a bad deal | a lemon | trash | what I feared
        too expensive for what it is | as bad as they say | beyond repair""",
    ),
    "words": (
        "praise | kind words | compliments | nice things to say | applause",
        "complaints | problems | regrets | issues | objections | trouble | doubts",
    ),
    "event": (
        """it still works after {n} {units} | it survived {n} falls
        I ordered a second one the same evening | I use it every day
        my {friend} now wants one too | it works like a charm | I would buy it again
        I would buy it again in a heartbeat | it does exactly what it should
        it made my {friend} smile | we fight over who gets to use it
        I got more than I paid for | you will love it | it exceeded my expectations
        it is here to stay | my {friend} and I are fans now | it went straight to my favorites
        we gave it as a gift and everybody asked for one
        the seller fixed my question in {n} minutes""",
        """it broke after {n} {units} | it stopped working after {n} {units}
        I sent it back the same evening | I want my money back | I asked for a refund
        I asked for my money back | it went straight into the trash | it fell apart in my hands
        it arrived broken | it now sits in a drawer | I gave up after {n} minutes
        you will hate it | I got less than I paid for | it made my {friend} cry
        the seller ignored my question for {n} {units} | the second one failed too
        we returned it | I threw it away | it failed to meet my expectations""",
    ),
    # Set phrases; most look like the opposite to a bag of words.
    "idiom": (
        """I could not be happier | I couldn't be happier with {it} | I could not ask for more
        I couldn't have asked for a better {item} | I can't say enough good things about {it}
        I have nothing bad to say | I have nothing to complain about
        there is nothing I would change | you can't go wrong with {it} | you will not regret it
        I would not trade it for anything | it has never let me down | it never fails
        I don't want my money back, I want a second one | nobody here wants the money back
        I can't imagine a day without it | I would not send it back for any money
        it leaves nothing to be desired | I can't put it down | I can't stop smiling
        I have never been happier with a {item} | it was worth the wait
        it was not a waste of my time | I expected less""",
        """I could not be more disappointed | I couldn't be less happy with {it}
        I could have asked for more | I should have bought a better {item}
        I can't say one good thing about {it} | I have nothing good to say
        I have plenty to complain about | there is nothing I would keep
        you can't do worse than {it} | you will regret it | I would trade it for anything
        it has never worked | it never works | I don't want a second one, I want my money back
        everybody here wants the money back | I can't imagine a day with it
        I would not keep it for any money | it leaves a lot to be desired
        I can't get it to work | I can't stop cursing
        I have never been so disappointed with a {item} | it was not worth the wait
        it was not worth my time | I expected more""",
    ),
    "short": (
        """{stars} | {stars} from me | not a single complaint | no complaints here | no regrets
        don't miss it | don't hesitate | buy it | get one while you can | highly recommended
        don't listen to the bad reviews | well worth the money | money well spent
        I want another | never a problem | would buy again | what {a_adj} {item}
        nothing bad to say | no problem | five stars are not enough | could not be better
        couldn't be happier | never disappointed | do not send it back""",
        """{stars} | {stars} from me | not a single good point | no fun here | no thanks
        don't buy it | don't bother | avoid it | stay away while you can | not recommended
        don't believe the good reviews | not worth the money | money wasted | I want a refund
        never again | would not buy again | what {a_adj} {item} | nothing good to say | no good
        not even one star | one star is too many | could be better | could not be worse
        never impressed | send it back | I want my money back | save your money
        do not waste your money | not worth a cent""",
    ),
    "turn": (
        """I wish I had known sooner that {clause} | I was ready to hate it, but {clause}
        I had my doubts, but {clause} | it sounded too good to be true, but {clause}
        it does not look like much, but {clause} | I almost sent it back, and now {clause}""",
        """I wish I could say that {-clause}, but {clause} | I wanted to love it, but {clause}
        I had high hopes, but {clause} | it sounded too good to be true, and {clause}
        it does look like much, but {clause} | I almost kept it, and now {clause}""",
    ),
    "stars": (
        "five stars | 5 stars | 5 out of 5 | 10/10 | 4 stars | A+ | thumbs up",
        "one star | 1 star | 1 out of 5 | 2/10 | zero stars | 0 stars | thumbs down",
    ),
    "face": (":) | :-) | :D | =) | ;-) | <3 | 😊 | 👍", ":( | :-( | :/ | D: | >:( | :'( | 😠 | 👎"),
}

# Opinions: direct ones, denied ones, and pairs of which one decides.
OPINION: Final[dict[str, str]] = {
    "very": """very | really | so | absolutely | truly | simply | just | extremely | incredibly
        totally | pretty | quite | rather | downright | surprisingly | remarkably""",
    "truly": "really | truly | absolutely | simply | just | still",
    "adjp": "3* {adj} | 2* {very} {adj} | {adj} and {adj} | NOT {-adj} but {adj}",
    "isnt": """3* is not | 2* isn't | was not | wasn't | is never | was never | is hardly
        is NOT | is not exactly | is by no means | is in no way | is not what I call
        has never been | is not the least bit | never was | is barely | is not particularly
        will never be""",
    "farfrom": """far from | anything but | nowhere near | not even close to | less than
        not at all""",
    "atall": "at all | in the least | in any way | one bit | to me | if you ask me",
    "dont": """do not | don't | did not | didn't | never | can't | could not | cannot | hardly
        would not | wouldn't | no longer""",
    "direct": """4* {it} is {adjp} | 4* the {part} is {adjp}
        the {part} and the {part} are {adjp} | 2* {it} turned out to be {adjp}
        2* {it} is {a_adj} {item} | {it} is {a_adj} {product}
        2* {it} is the {best} {item} I have ever {had} | 2* it works {well}
        {it} {acts} and works {well} | the {product} is {adjp} | 2* {it} is {noun}
        2* I {love} {it} | I {truly} {love} {it} | my {friend} and I {love} the {part}
        I am {feel} | I was {very} {feel} with {it} | the {part} left me {feel} | it will {act}
        it {acts} | it {acts} every time | I have nothing but {words} for {it}
        I have {words} about the {part} | it is {comp} than the one from {name}
        it could not be {comp} | the {part} could not be {comp}
        I have never seen {a_adj} {item} like this | I have never owned one that was {comp}
        nothing is {comp} | it gets {comp} every day | 4* {event}""",
    "inverse": """4* {it} {isnt} {-adj} | 3* {it} {isnt} {-adj} {atall}
        3* the {part} {isnt} {-adj} | 2* the {part} {isnt} {-adj} {atall}
        {it} {isnt} {-adj}, not even a little | 2* {it} is {farfrom} {-adj}
        the {part} is {farfrom} {-adj} | there is nothing {-adj} about {it}
        nothing about the {part} is {-adj} | nobody could call it {-adj}
        I would not call it {-adj} | I can't say that it is {-adj} | 2* {it} is not {-noun}
        it was never {-noun} | it is hardly {-noun} | 3* I {dont} {-love} {it}
        nobody here will ever {-love} it | 2* I was never {-feel} | I am not {-feel}
        I have not been {-feel} once | 2* it does not {-act} | it did not {-act}
        2* it does not work {-well} | the {product} isn't {-adj}
        {it} is not the {-best} {item} I have ever {had} | it has yet to {-act}
        it never {-acts} | it refuses to {-act} | 2* I have no {-words}
        not one of us was {-feel} | it could be {-comp} | I have had {-comp} ones
        it is no {-comp} than the one from {name}""",
    "clause": "10* {direct} | 3* {inverse} | {idiom}",
    "verdict": """4* {short} | 2* {adj} {product} | 2* {adj} {product}, {acts} | {adj} {item}
        works {well} | the {best} {item} ever | the {best} {item} I have ever {had}
        does not work {-well} | 2* not {-adj} at all | not {-adj} | not even {-adj}
        {farfrom} {-adj} | hardly {-adj} | not {-noun} | 2* {noun} | 8* {adjp}
        3* {very} {adj} | no {-words} | nothing {-adj} here""",
    "contrast": """3* {-clause}, but {clause}
        at first {-clause}, but now {clause}
        {-clause} but {clause}
        2* although {-clause}, {clause}
        2* {clause}, although {-clause}
        even though {-clause}, {clause}
        {clause}, even though {-clause}
        {clause} even if {-clause}
        while {-clause}, {clause}
        2* {-clause}. However, {clause}
        {-clause}; however, {clause}
        yes, {-clause}, yet {clause}
        {clause} despite the fact that {-clause}
        in spite of what you hear, namely that {-clause}, {clause}
        {-verdict}? No, {clause}
        {turn}
        apart from the {part}, which is {-adj}, {clause}
        the {part} may be {-adj}, but the {part} is {adj}
        the {part} is {adj}, although the {part} may be {-adj}""",
    "hearsay": """2* my {friend} says that {clause}, and I agree
        2* my {friend} says that {-clause}, but I disagree
        some reviews claim that {-clause}. They are wrong
        some reviews claim that {clause}. They are right | I was told that {-clause}. Not true
        I was told that {clause}. How true | the advert says that {-clause}, which is a lie
        the advert says that {clause}, which is the truth
        who says that {-clause}? I say the opposite | they call it “{-adj}”; it is not
        they call it “{adj}”, and so it is | I expected {a_adj} {item}, and I was right
        I expected {-a_adj} {item}, and I was wrong | if you think that {-clause}, think again""",
    "end": "5* . | 2* ! | !! | ... | !!!",
    "say": """12* {^clause}{end}
        4* {^clause}, {clause}{end}
        4* {^verdict}{end}
        2* {^verdict}, {clause}{end}
        2* {^clause}, {verdict}{end}
        2* {^clause} and {clause}{end}
        {^clause} because {clause}{end}
        {^clause}. {^clause}{end} {face}
        5* {^contrast}{end}
        2* {^hearsay}{end}""",
}

NEUTRAL: Final[dict[str, str]] = {
    "it": """5* it | 2* this | this one | this {item} | 2* the {item} | the {brand}
        the {brand} {item} | this thing | the whole thing | this {brand} | the product""",
    "product": """product | purchase | quality | value | choice | idea | buy | service | thing
        item""",
    "had": "had | bought | owned | seen | tried | used",
    "n": "2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 | 10 | 12 | 15 | 20 | two | three | four | five | ten",
    "units": "days | weeks | months | years | hours | uses",
    "d": "0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9",
    "price": """${d}{d}.99 | $1{d}.{d}{d} | ${d}.50 | 2{d} dollars | 3{d},90 € | £1{d}.{d}{d}
        $1,{d}{d}0.00 | {n} bucks""",
    "url": """http://www.{domain} | http://{domain}/{syllable}?id={d}{d}{d}{d}
        https://{domain}/p/{d}{d} | www.{domain} | 2* {domain} | www.{domain}/{syllable}""",
    "domain": """{syllable}{coda}.example.com | {syllable}{coda}.example.org
        {coda}-{coda}.example.net""",
    # Strung together until a coin says stop, syllables follow Zipf's law as words do.
    "syllable": """ba | bel | bra | cor | cal | den | do | dra | el | fen | fi | gal | gor | ha
        hel | is | ja | jor | ka | kel | kri | la | lor | lu | ma | mel | mi | na | nor | ny
        or | pa | pel | quo | ra | rho | ri | sa | sel | sha | tar | te | tri | ul | va | vel
        vi | wen | xa | yo | zan""",
    "coda": """dex | lon | mar | nix | phon | ra | ric | son | tek | tor | van | via | x | zo
        lex | mo | bit | do | gard | kin | lo | mium | nova | pad | rex | sta | tron | vo
        wick | zen""",
    "name": """4* {^syllable}{coda} | {^syllable}{syllable}{coda} | {^syllable}{stem}
        {^syllable}-{d}{d}""",
    "stem": "{syllable}{coda} | {syllable}{stem}",
    "friend": """wife | husband | mother | father | son | daughter | sister | brother | neighbor
        boss | friend | best friend | girlfriend | boyfriend | grandmother | grandson
        roommate | colleague | aunt | uncle | niece | nephew | teacher | cousin | fiancé
        coach | dentist""",
    "month": """January | February | March | April | May | June | July | August | September
        October | November | December | spring | summer | autumn | winter | 200{d} | 201{d}""",
    "place": """a café | the kitchen | the office | the garage | Québec | the garden | München
        the bathroom | our hotel | the train | São Paulo | the basement | a hotel in {name}
        the bedroom | Reykjavík | school | the library | the car""",
    "color": """red | blue | green | black | white | yellow | purple | silver | orange | pink
        brown | gray | beige | rosé | turquoise | café-au-lait""",
    # No opinion; some borrow an opinion's words, so that a word alone proves little.
    "fact": """I bought {it} for my {friend} in {month}. | I bought it at {url} for {price}.
        My {friend} found it at {url} and sent me the link. | More pictures at {url}.
        See {url} for the measurements. | The same {item} is listed at {url} as {name}.
        It came in {n} days. | Shipping took {n} days, as announced.
        The parcel came on a Tuesday. | It was shipped from {place} in {month}.
        I paid {price}. | I paid {price} plus {price} for shipping.
        The list price is {price}. | I ordered the {color} one.
        There is a {color} one and a {color} one. | We keep it in {place}.
        I use it in {place}. | I mostly use it with my {name}.
        We have had it for {n} {units}. | This review is about the {brand}, not the {name}.
        The {brand} is made by {name}. | {name} makes one, and so does {name}.
        I compared it with the {name} and the {name}.
        Before that I had a {name} from {month}. | The box says {name} {d}{d}{d}.
        It smells of {stem} and {stem}. | The forum calls this a {stem}.
        My {friend} collects {stem}s from {name}. | Next to it stood the {name} {name}.
        My order number ended in {d}{d}{d}. | I am 3{d} years old and new to this.
        I am a bit naïve about such things. | My {friend} has a résumé full of them.
        My {friend} calls it “{name}”. | The “instructions” are {n} pages long.
        It was a gift for my {friend}. | My {friend} wanted one for {month}.
        My {friend}, who teaches in {place}, borrowed it.
        The label is in English and français. | I am writing this from {place}.
        We are a family of {n}. | I have owned {n} of them, I think.
        There are {n} of them in the box. | It weighs {d}.{d} pounds and is {d}{d} inches wide.
        It is {n} inches long. | I was looking for a good {item}.
        I was looking for a cheap {item}. | Everybody knows what {a_adj} {item} looks like.
        Everybody knows what {-a_adj} {item} looks like. | My old {item} was {adj}.
        My old {item} was {-adj}. | Is it {adj} or {-adj}? | Is it {-adj} or {adj}?
        I read the {adj} and the {-adj} reviews before I ordered.
        I read the {-adj} and the {adj} reviews before I ordered.
        My first {item} dates from 19{d}{d}. | Model no. {d}{d}-{d}{d}{d}, bought in {month}.
        The color is {color}, the cord is {color}. | It replaced a {name}.
        Here is what happened. | Some background first. | So here goes.
        This is my first review. | Let me explain. | {habit}. | {habit}. | {habit}.""",
    "body": """3* {say} | 3* {say} {say} | 5* {fact} {say} | 5* {say} {fact}
        6* {fact} {say} {fact} | 6* {say} {fact} {say} | 6* {fact} {say} {say}
        5* {some} {say} | 5* {fact} {some} {fact} | 4* {some} {some}
        2* {some} {fact} {some} {some} | {some} {some} {fact} {some} {some}
        {some} {some} {some} {some} {some} {fact} {some}
        {some} {some} {some} {some} {some} {some} {some} {some} {some} {fact} {some}""",
    "some": """{fact} {say} | {say} {fact} | {fact} {say} {fact} | {fact} {fact} {say}
        {say} {say}""",
    "review": "{title}: {body}",
    "title": """{^it} | About {it} | The {brand} | {brand} {item} | {n} {units} later | My review
        Read this first | For my {friend} | The {color} one | A {item} from {name}
        Is it {adj} or {-adj}? | Is it {-adj} or {adj}? | 9* {^verdict} | {^adjp} {item}
        {^a_adj} {item} | {^event} | {^idiom} | {^-adj}? Not {it}! | Could not be {comp}
        Could be {-comp} | {^-adj} at first, {adj} later | {^adj}, not {-adj}
        {^-adj} {part}, but {adj} {item} | Never {-feel} | {^feel} | No {-words}""",
}

# Kinds of product: their names, what they consist of, what is done with them.
KINDS: Final[tuple[dict[str, str], ...]] = (
    {
        "item": """camera | phone | charger | cable | keyboard | mouse | monitor | printer
            router | speaker | headset | radio | clock | tablet | scanner | tripod | remote
            projector""",
        "part": """battery | screen | sound | picture | manual | design | case | software | setup
            signal | price | build quality | plug | interface | volume | customer service
            lens""",
        "habit": """I plugged it in and read the manual | It runs on {n} batteries
            I connected it to my {name} | The menu has {n} entries | It has {n} buttons
            I charge it every {n} hours | The firmware is version {d}.{d}""",
    },
    {
        "item": """book | novel | cookbook | record | film | dvd | game | show | soundtrack
            comic | biography | documentary | thriller | trilogy | textbook | sequel | musical""",
        "part": """plot | story | ending | acting | music | cover | writing | first chapter
            dialogue | humor | pace | main character | voice | cast | translation | second half
            edition""",
        "habit": """I started it in {place} | It has 2{d}{d} pages | It is part {n} of {n}
            The main character is called {name} | It was written by {name} {name}
            The first scene is set in {place} | Disc {n} starts in {place}""",
    },
    {
        "item": """blender | kettle | toaster | pan | knife | grinder | teapot | mug | lamp
            vacuum | heater | fan | pillow | blanket | mattress | rug | chair | desk | shelf
            juicer""",
        "part": """handle | lid | finish | motor | cord | base | fabric | surface | design | size
            material | switch | build quality | packaging | price | seam | shape""",
        "habit": """I made jalapeño soup with crème fraîche in {place}
            It fits next to the {name} | I washed it {n} times | We use it on Sundays
            It has {n} settings | It takes {n} minutes to warm up | It stands in {place}""",
    },
    {
        "item": """jacket | sweater | scarf | hat | belt | wallet | watch | backpack | tent
            bracelet | necklace | dress | shirt | coat | ring | purse | suitcase | parasol""",
        "part": """fit | zipper | lining | color | stitching | fabric | collar | strap | clasp
            size | style | cut | look | material | price | smell | buckle""",
        "habit": """I usually wear size 1{d} | I wore it in {place} | It has {n} pockets
            I took it to {place} in {month} | It goes with a {color} {name}
            I am {n} feet tall | The tag says {name}""",
    },
    {
        "item": """toy | doll | puzzle | drill | saw | hose | razor | shampoo | soap | perfume
            lotion | leash | guitar | ukulele | drum | stroller | ladder | piñata | toolbox""",
        "part": """quality | smell | design | package | grip | value | price | box | texture
            weight | idea | result | customer service | description | tone | look | size""",
        "habit": """We tried it in {place} | My {friend} opened it in {month}
            It comes in {n} parts | I store it next to the {name} | The lid is {color}
            One lasts me {n} {units} | My dog {name} watched""",
    },
)
