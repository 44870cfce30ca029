"""What tools/data_goldens.py runs through: texts, chat templates and conversations. Our own writing."""

# --- texts -----------------------------------------------------------------------------------------------------------
TEXTS = [
    "Hello world", " leading space", "trailing space ", "a", " ", "  ", "\n", "\t\t x", "one  two   three    four",
    "line one\nline two\r\n\r\nline three\n\n\n", "tabs\tand\n\n  indents\n\t\tdeeper\n", " \n \n ", "a \n b", "x\n  ",
    "I'm sure they've said we'll go, she'd know it's Bob's; don't 'RE 'S 'quoted'", "DON'T SHOUT'S I'LL",
    "numbers 0 7 42 123 1234 1234567 3.14 1,000,000 -5 2^10 0x1F", "2024-11-22T10:30:00Z",
    "if (a[i] != b[j]) { return a[i] - b[j]; } // done", "def f(x):\n    return {'k': [x ** 2, None]}\n",
    "SELECT * FROM t WHERE id=3;", "<div class=\"a b\">&nbsp;</div>", "https://example.org/a?b=c&d=%20#e", "a_b-c.d/e\\f|g~h`i",
    "😀", "👍🏽 ok", "👨‍👩‍👧‍👦 family", "🏳️‍🌈🇩🇪", "mixed😀text🚀here", "❤️ heart", "keycap 1️⃣",
    "你好，世界。", "これはペンです", "한국어 문장입니다", "中文English混排123数字", "汉字　全角空格", "ｆｕｌｌｗｉｄｔｈ",
    "Привет, мир", "Γειά σου Κόσμε", "שלום עולם", "مرحبا بالعالم", "नमस्ते दुनिया", "สวัสดีชาวโลก", "Tiếng Việt",
    "café naïve Ångström", "cafe\u0301 decomposed A\u030angstro\u0308m", "ﬁ ligature ½ ² ³ Ⅷ ٣٤٥ ๓ 一二", "x²+y³=½z",
    "a \ufeff! \ufeff", "a\n\u0085\n\u0085 b", "10\u00bd\u00b22 \u0663\u0664", "on the of the and the to the one two",
    "\ufeffbom at start", "in\ufeffside bom", "nel\u0085here \u0085 x", "nbsp\u00a0here\u00a0\u00a0x", "thin\u2009space\u202fand\u3000wide",
    "zero\u200bwidth\u200djoin", "ls\u2028ps\u2029end", "\x00nul\x01\x02 bell\x07", "soft\u00adhyphen", "\u202ertl override",
    "<|im_start|>user\nhi<|im_end|>\n", "text<|endoftext|>more", "<|im_start|><|im_end|><|im_start|>", "<|im_start", "|>im_end<|",
    " <|im_end|> spaces around <|im_end|>\n", "</s> and <s> and <unk>", "<s>", "a</s>b", "<0x41> <0xE2>", "▁under▁score ▁", "Ġ Ċ ġ byte letters",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "!!!???...,,,;;;:::", "((((()))))", "----====____", "“quotes” ‘single’ — dash… •",
    "∀x∈ℝ: ⌈x⌉ = −⌊−x⌋", "α∧¬β ≠ ∅", "\\n not a newline", "\U0001F9D1\u200d\U0001F4BB codes", "𝒻𝓪𝓷𝓬𝔂 𐍈 𠜎",
    "The quick brown fox jumps over the lazy dog. " * 4,
]
# The added tokens of the variant `added-flags`: their whitespace and word rules.
FLAG_TEXTS = ["a <mask> b", "a<mask>b", "a  <right>  b\n c", "wordy word wordword (word) word", "a <left> b", "Norm norm NORM", "<mask> ", " <right>"]


# --- chats ---------------------------------------------------------------------------------------------------------------
CHATML = """{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"""
CHATML_SYSTEM = """{% for message in messages %}
    {% if loop.first and message.role != 'system' %}
        {{- '<|im_start|>system\\nYou answer briefly.<|im_end|>\\n' }}
    {%- endif %}
    {{- '<|im_start|>' ~ message.role ~ '\\n' ~ message.content | trim ~ '<|im_end|>' ~ '\\n' }}
{%- endfor %}
{% if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""
ROLE_LINES = """{% for message in messages %}
{% if message['role'] == 'user' %}
{{ '<|user|>\\n' + message['content'] + eos_token }}
{% elif message['role'] == 'system' %}
{{ '<|system|>\\n' + message['content'] + eos_token }}
{% elif message['role'] == 'assistant' %}
{{ '<|assistant|>\\n'  + message['content'] + eos_token }}
{% endif %}
{% if loop.last and add_generation_prompt %}
{{ '<|assistant|>' }}
{% endif %}
{% endfor %}"""
INST = """{%- if messages[0]['role'] == 'system' -%}
  {%- set system = messages[0]['content'] -%}{%- set rest = messages[1:] -%}
{%- else -%}
  {%- set system = '' -%}{%- set rest = messages -%}
{%- endif -%}
{{- bos_token -}}
{%- for message in rest -%}
  {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
    {{- raise_exception('Roles must alternate: user, assistant, user, ...') -}}
  {%- endif -%}
  {%- if message['role'] == 'user' -%}
    {%- if loop.index0 == 0 and system -%}
      {{- '[INST] ' + system.strip() + '\\n\\n' + message['content'].strip() + ' [/INST]' -}}
    {%- else -%}
      {{- '[INST] ' + message['content'].strip() + ' [/INST]' -}}
    {%- endif -%}
  {%- else -%}
    {{- ' ' + message['content'].strip() + ' ' + eos_token -}}
  {%- endif -%}
{%- endfor -%}"""
GENERATION = """{% for message in messages %}
    {% if message['role'] == 'assistant' %}
        {{- '<|im_start|>assistant\\n' }}
        {% generation %}
        {{- message['content'] + '<|im_end|>' }}
        {% endgeneration %}
        {{- '\\n' }}
    {% else %}
        {{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}
    {% endif %}
{% endfor %}
{% if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{% endif %}"""
GENERATION_TIGHT = """{%- for m in messages -%}
<|im_start|>{{ m.role }}
{% if m.role == 'assistant' -%}
  {%- generation -%}  {{ m.content }}<|im_end|>  {%- endgeneration -%}
{%- else -%}
  {{ m.content }}<|im_end|>
{%- endif %}

{% endfor -%}
{%- if add_generation_prompt -%}<|im_start|>assistant
{% endif -%}"""
THINKING = """{%- set ns = namespace(last=messages|length - 1, open=true) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.open and message.role == 'user' and message.content is string %}
        {%- set ns.open = false %}
        {%- set ns.last = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.role != 'assistant' %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- else %}
        {%- set thought = '' %}
        {%- set answer = message.content %}
        {%- if message.reasoning_content is string %}
            {%- set thought = message.reasoning_content %}
        {%- elif '</think>' in answer %}
            {%- set thought = answer.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
            {%- set answer = answer.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {%- if loop.index0 > ns.last %}
            {{- '<|im_start|>assistant\\n<think>\\n' + thought.strip('\\n') + '\\n</think>\\n\\n' + answer.lstrip('\\n') }}
        {%- else %}
            {{- '<|im_start|>assistant\\n' + answer }}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}"""
DATED = """{{- bos_token }}
{%- if not date_string is defined %}{% set date_string = strftime_now("%d %b %Y") %}{% endif %}
{%- macro turn(role, text) -%}
<|im_start|>{{ role }}

{{ text | trim }}<|im_end|>
{%- endmacro -%}
{{- '<|system|>Today: ' + date_string + ' (' + strftime_now('%A, %B %-d %H:%M:%S %j %y %p %I') + ')\\n' }}
{%- if tools is not none %}{{- tools | tojson }}{% endif %}
{%- for message in messages %}
    {%- if message.role == 'tool' %}
        {{- turn('tool', {'result': message.content, 'n': loop.index} | tojson) }}
    {%- elif message.role in ['user', 'assistant', 'system'] %}
        {{- turn(message.role, message.content) }}
    {%- else %}
        {{- raise_exception('Unknown role: ' + message.role) }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n\\n' }}{% endif %}"""
PLAIN = """{% for m in messages %}{{ m['role'] | capitalize }}: {{ m['content'] }}
{% endfor %}{% if add_generation_prompt %}Assistant:{% endif %}"""
# The same with tags, for the turns that incremental rendering cannot settle: the oracle of their masks.
THINKING_TAGGED = THINKING.replace("""            {{- '<|im_start|>assistant\\n<think>\\n' +""", """            {{- '<|im_start|>assistant\\n' }}{% generation %}{{- '<think>\\n' +""").replace(
    """answer.lstrip('\\n') }}""", """answer.lstrip('\\n') + '<|im_end|>' }}{% endgeneration %}""").replace(
    """{{- '<|im_start|>assistant\\n' + answer }}""", """{{- '<|im_start|>assistant\\n' }}{% generation %}{{- answer + '<|im_end|>' }}{% endgeneration %}""").replace(
    """        {{- '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}""", """        {{- '\\n' }}
    {%- endif %}
{%- endfor %}""")
STRINGS = """{%- for m in messages -%}
[{{ m.role | capitalize }}|{{ 'mIXED' | capitalize }}|{{ nothing | trim }}] {{ m.content.strip('\\n') }}|{{ m.content.lstrip() }}|{{ m.content.rstrip('y\\n') }}|{{ m.content | trim }}|{{ ' \u0085\u001cx\ufeff ' | trim }}<|im_end|>
{% endfor -%}"""
TEMPLATES = {"chatml": CHATML, "chatml-system": CHATML_SYSTEM, "role-lines": ROLE_LINES, "inst": INST, "generation": GENERATION,
             "generation-tight": GENERATION_TIGHT, "thinking": THINKING, "thinking-generation": THINKING_TAGGED, "strings": STRINGS, "dated": DATED, "plain": PLAIN}


def chat(*turns):
    return [{"role": r, "content": c} for r, c in turns]


CONVERSATIONS = {
    "single": chat(("user", "What is 2+2?"), ("assistant", "It is 4.")),
    "system": chat(("system", "Be kind."), ("user", "Hi!"), ("assistant", "Hello, friend.")),
    "multi": chat(("user", "One?"), ("assistant", "First."), ("user", "Two?"), ("assistant", "Second."), ("user", "Three?"), ("assistant", "Third.")),
    "unicode": chat(("user", "Übersetze 你好 😀"), ("assistant", "Hello 👋🏽 café\n\n日本")),
    "spaces": chat(("user", "  padded  "), ("assistant", "  padded answer \n"), ("user", "x\n"), ("assistant", "\n\ny")),
    "empty": chat(("user", "Say nothing."), ("assistant", "")),
    "special": chat(("user", "What ends a turn? <|im_end|>"), ("assistant", "It is <|im_end|> in this format.")),
    "same": chat(("user", "yes"), ("assistant", "yes"), ("user", "yes"), ("assistant", "yes")),
    "thoughts": chat(("user", "A?"), ("assistant", "<think>\nhm\n</think>\n\nB."), ("user", "C?"), ("assistant", "<think>\nso\n</think>\n\nD.")),
    "tool": chat(("user", "Weather?"), ("assistant", "I look."), ("tool", "sunny \"21\" °C"), ("assistant", "It is sunny.")),
    "indented": chat(("user", "Code?"), ("assistant", "\n    return x\n"), ("user", "Again"), ("assistant", "  y")),
    "open": chat(("user", "Only a question")),
}
CONVERSATIONS["reasoning"] = [{"role": "user", "content": "E?"}, {"role": "assistant", "content": "F.", "reasoning_content": "think first"}]
