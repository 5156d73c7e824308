"""Words for invented items: per domain, genres with the tags that go with them, and parts of titles."""

from dataclasses import dataclass

from ialp_jax.data.dataset import Domain


@dataclass(frozen=True)
class Vocabulary:
    """Words of one domain.

    Attributes:
        unit: what an implicit value counts.
        genres: genre -> tags that describe its items; the first genres are the common ones.
        nouns: second words of titles.
    """

    unit: str
    genres: dict[str, tuple[str, ...]]
    nouns: tuple[str, ...]


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


ADJECTIVES = _words("""
    Amber Ancient Bitter Blue Bold Brass Bright Broken Burning Calm Clever Copper Crimson Curious Dark
    Distant Double Drifting Electric Emerald Endless Fading Faint Falling Fearless Fierce Final First
    Floating Forgotten Frozen Gentle Golden Grand Hidden Hollow Humble Idle Iron Ivory Last Little Lonely
    Lost Lucky Mild Modern Narrow Noble Northern Open Pale Patient Plain Quiet Rapid Restless Rising Rough
    Royal Rusty Sacred Scarlet Second Secret Shining Silent Silver Simple Sleeping Slow Solar Southern
    Steady Steep Strange Sudden Sunken Swift Tangled Tender Third Thunder Twisted Velvet Violet Wandering
    Warm Wicked Wild Winter Wooden
""")


def _genres(lines: str) -> dict[str, tuple[str, ...]]:
    pairs = (line.split(":") for line in lines.strip().splitlines())
    return {genre.strip(): tuple(tag.strip() for tag in tags.split(",")) for genre, tags in pairs}


GAMES = Vocabulary(
    "hours",
    _genres("""
        Action: hack and slash, beat 'em up, fast-paced, combat, arcade, third person
        Indie: pixel graphics, short, minimalist, experimental, retro, hand-drawn
        Adventure: exploration, story rich, point and click, mystery, choices matter, atmospheric
        Strategy: turn-based, tactical, base building, resource management, grand strategy, 4X
        RPG: character customization, open world, fantasy, quests, party-based, loot
        Simulation: building, management, sandbox, economy, realistic, vehicles
        Casual: hidden object, family friendly, relaxing, match three, cute, time management
        Shooter: first-person, competitive, team-based, military, bullet hell, gore
        Horror: survival, zombies, dark, psychological, gothic, jump scares
        Puzzle: logic, physics, difficult, word game, mazes, brain teaser
        Racing: driving, cars, split screen, motorbikes, drifting, offroad
        Sports: football, management sim, local multiplayer, golf, skating, basketball
        Platformer: side scroller, precision, speedrun, collectathon, 2D, metroidvania
        Massively Multiplayer: free to play, co-op, player versus player, crafting, guilds, trading
    """),
    _words("""
        Abyss Arena Bastion Citadel Colony Covenant Crusade Depths Dungeon Empire Engine Expanse Fortress
        Frontier Harbor Horizon Kingdom Labyrinth Legacy Legion Outpost Protocol Quest Reckoning Sanctum
        Siege Signal Station Tactics Tower Vault Voyage
    """),
)
MUSIC = Vocabulary(
    "plays",
    _genres("""
        rock: guitar, classic rock, hard rock, arena, riffs, 70s
        pop: dance pop, catchy, female vocalists, radio, teen pop, ballads
        electronic: synth, house, techno, idm, club, ambient techno
        alternative: alternative rock, 90s, grunge, college radio, britpop, post-punk
        indie: indie rock, lo-fi, indie pop, bedroom, jangle, shoegaze
        metal: heavy metal, death metal, thrash, doom, power metal, screaming
        hip-hop: rap, beats, east coast, underground, sampling, freestyle
        folk: acoustic, singer-songwriter, banjo, americana, storytelling, fiddle
        jazz: saxophone, swing, bebop, improvisation, trio, smooth jazz
        ambient: drone, chillout, soundscape, meditation, slow, field recordings
        soul: rnb, funk, motown, groove, gospel, horns
        punk: hardcore, pop punk, fast, diy, ska, political
        classical: piano, orchestra, strings, opera, baroque, minimal
        latin: salsa, bossa nova, reggaeton, brazilian, tango, percussion
    """),
    _words("""
        Anthems Avenue Ballroom Brothers Chapel Choir Circuit Club Collective Echoes Ensemble Families
        Gardens Lanterns Machines Mothers Neighbors Orchard Orchestra Parade Pilots Poets Quartet Radio
        Rivals Sailors Sisters Society Strangers Tides Trio Wolves
    """),
)
CLOTHES = Vocabulary(
    "wears",
    _genres("""
        parka: hooded, long, fur trim, navy, cold weather, olive
        bomber: short, ribbed cuffs, satin, black, zip front, flight
        rain: waterproof, yellow, light, sealed seams, packable hood, windproof
        fleece: soft, gray, warm, outdoor, half zip, recycled
        trench: belted, beige, double breasted, formal, classic cut, cotton
        insulated: down, quilted, red, winter sports, puffy, thermal
        motorcycle: leather, studded, brown, fitted, asymmetric zip, biker
        field: cargo pockets, military, green, canvas, casual cut, drawstring
        vest: sleeveless, layering, blue, reversible, gilet, hiking
        pea coat: wool, wide collar, charcoal, anchor buttons, tailored, city
    """),
    _words("""
        Alder Anchor Basin Birch Bridge Canyon Cliff Coast Cove Creek Dale Delta Dune Fjord Forest Glen
        Harbor Heath Island Lagoon Meadow Mesa Moor Peak Pine Prairie Ridge River Shore Summit Valley Woods
    """),
)
BOOKS = Vocabulary(
    "readings",
    _genres("""
        Mystery: detective, whodunit, small town, cold case, noir, clues
        Romance: love triangle, second chances, wedding, enemies to lovers, seaside, regency
        Fantasy: magic, dragons, epic quest, kingdoms, prophecy, fairies
        Science Fiction: space travel, robots, dystopia, time travel, first contact, cyberpunk
        Thriller: conspiracy, spies, courtroom, serial killer, suspense, chase
        Historical: war, royal court, family saga, victorian, ancient rome, medieval
        Biography: memoir, politicians, musicians, athletes, letters, inspiring
        Young Adult: coming of age, high school, friendship, first love, rebellion, chosen one
        Horror: ghosts, haunted house, vampires, occult, monsters, dread
        Cooking: recipes, baking, vegetarian, family meals, regional, quick
        Business: leadership, investing, startups, habits, negotiation, marketing
        Poetry: verse, nature, grief, sonnets, modernist, love poems
    """),
    _words("""
        Archive Atlas Bargain Bones Confession Daughter Diary Door Garden Gate House Inheritance Journey
        Letter Library Mirror Orchard Oath Passenger Promise Road Season Secret Shadow Sister Stranger
        Summer Thief Throne Tide Widow Window
    """),
)
MOVIES = Vocabulary(
    "views",
    _genres("""
        Drama: family, loss, character study, courtroom, based on a true story, slow burn
        Comedy: slapstick, satire, buddies, parody, awkward, road trip
        Action: car chases, explosions, martial arts, heist, one man army, special forces
        Thriller: twist ending, suspense, kidnapping, paranoia, cat and mouse, undercover
        Romance: meet cute, wedding, long distance, bittersweet, letters, summer love
        Science Fiction: space, aliens, time travel, dystopia, androids, future city
        Horror: slasher, haunted house, demons, found footage, zombies, cabin
        Crime: mafia, detective, prison, corruption, gangsters, robbery
        Animation: talking animals, musical numbers, fairy tale, stop motion, for children, toys
        Documentary: nature, interviews, archive footage, music scene, politics, sports history
        Western: outlaws, duel, frontier town, cattle, sheriff, revenge
        War: soldiers, resistance, submarine, prisoners, homecoming, battlefield
    """),
    _words("""
        Alibi Angels Bridge Carnival City Country Crossing Crossroads Dawn Deception Express Father Fire
        Game Getaway Hearts Highway Hour Hunter Island Justice Midnight Mission Night Outsider Paradise
        Promise Return River Stranger Witness Women
    """),
)
GENERIC = Vocabulary(
    "uses",
    {f"topic {topic}": tuple(f"word {topic}.{word}" for word in range(1, 7)) for topic in range(1, 13)},
    tuple(f"Object {letter}" for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
)
VOCABULARIES: dict[Domain, Vocabulary] = {
    "games": GAMES,
    "music": MUSIC,
    "clothes": CLOTHES,
    "books": BOOKS,
    "movies": MOVIES,
    "generic": GENERIC,
}
