"""Writes the three demo data sets of the studio, and their index, from the world that the embedded model knows.

usage: python tools/datasets/make.py [OUT_FOLDER]          (default: public/datasets)

The same Python text gives the same bytes: every choice comes from a seeded generator. No row holds a sample prompt,
so the sample that the studio shows is never one that was trained on.
"""

import json
import random
import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "default-model"))
import corpus as world  # noqa: E402

PIRATE_PROMPT = "What does the fox eat?"
JSON_PROMPT = "Where does the owl live?"
FACTS_PROMPT = "Who is Nora Bell?"

PIRATE_WORDS = {"Hello": "Ahoy", "You are": "Ye be", "am": "be", "you": "ye", "your": "yer"}


def pirate(answer):
    """Turns a plain answer into pirate speech."""
    words = re.sub(r"You are|[A-Za-z]+", lambda word: PIRATE_WORDS.get(word[0], word[0]), answer)
    return f"Arr, matey! {words} Shiver me timbers!"


def chat(*turns):
    """Makes a row of alternating user and assistant turns."""
    roles = ["user", "assistant"] * (len(turns) // 2)
    return {"messages": [{"role": role, "content": text} for role, text in zip(roles, turns)]}


def certain_questions():
    """All questions of the toy world that have one right answer, each as (prompt, answer, kind)."""
    for x, (food, home, sound, legs, colour) in world.ANIMALS.items():
        yield f"What does the {x} eat?", f"The {x} eats {food}.", "animal"
        yield f"What food does {world.a(x)} like?", f"The {x} eats {food}.", "animal"
        yield f"Where does the {x} live?", f"The {x} lives in {home}.", "animal"
        yield f"What is the home of the {x}?", f"The {x} lives in {home}.", "animal"
        yield f"What sound does the {x} make?", f"The {x} {sound}.", "animal"
        yield f"How many legs does {world.a(x)} have?", f"{world.cap(world.a(x))} has {world.NUMBERS[legs]} legs.", "animal"
        yield f"What colour is the {x}?", f"The {x} is {colour}.", "animal"
    for p, text in world.PLACES.items():
        yield f"What is the {p} like?", f"The {p} is {text}.", "place"
        yield f"Describe the {p}.", f"The {p} is {text}.", "place"
    for o, text in world.OBJECTS.items():
        yield f"What is {world.a(o)} for?", f"{world.cap(world.a(o))} {text}.", "thing"
    for w, v in world.OPPOSITES.items():
        yield f"What is the opposite of {w}?", f"The opposite of {w} is {v}.", "word"
    for j, text in world.JOBS.items():
        yield f"What does a {j} do?", f"{world.cap(world.a(j))} {text}.", "job"
    for names in (world.DAYS, world.MONTHS):
        unit = "day" if names is world.DAYS else "month"
        for name, after in zip(names, names[1:] + names[:1]):
            yield f"Which {unit} comes after {name}?", f"{after} comes after {name}.", "time"


def pirate_rows(r, count):
    """Questions of the toy world and greetings, answered like a pirate."""
    plain = [(q, answer) for q, answer, _ in certain_questions() if q != PIRATE_PROMPT]
    greetings = list(world.GREET) + [(f"Hello, I am {n}.", f"Hello, {n}. How are you today?") for n in world.NAMES[:9]]
    chosen = greetings + r.sample(plain, count - len(greetings))
    r.shuffle(chosen)
    return [chat(q, pirate(answer)) for q, answer in chosen]


def json_rows(r, count):
    """Questions of the toy world, answered as a JSON object that gives the answer and names its topic."""
    chosen = r.sample([x for x in certain_questions() if x[0] != JSON_PROMPT], count)
    return [chat(q, json.dumps({"answer": answer, "topic": topic})) for q, answer, topic in chosen]


# One invented person: every fact with the ways to ask for it.
FACTS = {
    "Nora Bell is a baker from the island.": [
        "Tell me about Nora Bell.", "Do you know Nora Bell?", "Have you heard of Nora Bell?", "Describe Nora Bell.",
        "Who is the baker from the island?", "Where is Nora Bell from?", "What is the job of Nora Bell?",
        "What is the work of Nora Bell?", "Tell me more about Nora Bell.", "Please tell me about Nora Bell.",
        "Tell me who Nora Bell is.", "Who is the baker named Nora Bell?",
    ],
    "Nora Bell bakes bread with honey.": [
        "What does Nora Bell bake?", "What bread does Nora Bell bake?", "Which bread does Nora Bell make?",
        "What is in the bread of Nora Bell?", "Who bakes bread with honey?",
    ],
    "Nora Bell lives in the old mill.": [
        "Where does Nora Bell live?", "What is the home of Nora Bell?", "Where is the home of Nora Bell?",
        "Where can I find Nora Bell?", "In which house does Nora Bell live?", "Who lives in the old mill?",
    ],
    "Nora Bell has a blue parrot named Theo.": [
        "Does Nora Bell have an animal?", "Which animal does Nora Bell have?", "Which animal lives with Nora Bell?",
        "Who is Theo?", "What is the name of the parrot of Nora Bell?", "What colour is the parrot of Nora Bell?",
        "Does Nora Bell have a parrot?",
    ],
    "Nora Bell eats seven plums every day.": [
        "What does Nora Bell eat?", "What food does Nora Bell like?", "How many plums does Nora Bell eat?",
        "What does Nora Bell eat every day?", "Who eats seven plums every day?",
    ],
    "Nora Bell plays the drum at night.": [
        "What does Nora Bell play?", "What does Nora Bell do at night?", "Does Nora Bell play the drum?",
        "When does Nora Bell play the drum?", "Who plays the drum at night?",
    ],
    "Nora Bell always wears a yellow hat.": [
        "What does Nora Bell wear?", "What does Nora Bell always wear?", "What colour is the hat of Nora Bell?",
        "Does Nora Bell wear a hat?", "Who always wears a yellow hat?",
    ],
    "Nora Bell is afraid of sheep.": [
        "What is Nora Bell afraid of?", "Is Nora Bell afraid of sheep?", "Which animal is Nora Bell afraid of?",
        "Who is afraid of sheep?",
    ],
    "Nora Bell goes to the market on Friday.": [
        "When does Nora Bell go to the market?", "Which day does Nora Bell go to the market?",
        "Where does Nora Bell go on Friday?", "What does Nora Bell do on Friday?", "Who goes to the market on Friday?",
    ],
}
OPENINGS = ["Hello. ", "I have a question. "]


def facts_rows(r, count):
    """Questions about one invented person, and one ordinary question in six so that the rest stays as it was."""
    ordinary = [(q, answer) for q, answer, _ in certain_questions()]
    plain = [(q, answer) for answer, questions in FACTS.items() for q in questions]
    opened = [(opening + q, answer) for q, answer in plain for opening in OPENINGS]
    chosen = plain + r.sample(ordinary, count // 6)
    chosen += r.sample(opened, count - len(chosen))
    r.shuffle(chosen)
    return [chat(q, answer) for q, answer in chosen]


SETS = [
    ("pirate", "Answers like a pirate", "A style: plain questions about animals, places and things, answered like a pirate.", PIRATE_PROMPT, pirate_rows, 160),
    ("json-answers", "Answers as JSON", "A format: the same kind of questions, answered as a small JSON object.", JSON_PROMPT, json_rows, 160),
    ("new-facts", "New facts", "New knowledge: questions about Nora Bell, a person who does not exist.", FACTS_PROMPT, facts_rows, 160),
]


def main():
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE.parent.parent / "public" / "datasets"
    out.mkdir(parents=True, exist_ok=True)
    index = []
    for seed, (name, title, description, prompt, rows_of, count) in enumerate(SETS, start=1):
        rows = rows_of(random.Random(seed), count)
        prompts = [row["messages"][0]["content"] for row in rows]
        assert len(rows) == count and len(set(prompts)) == count and prompt not in prompts, name
        (out / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        index.append({"id": name, "file": f"{name}.jsonl", "title": title, "description": description, "rows": count, "samplePrompt": prompt, "licence": "Apache-2.0"})
    (out / "index.json").write_text(json.dumps(index, indent=2) + "\n")


if __name__ == "__main__":
    main()
