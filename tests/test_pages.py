"""Every page (README.md) is true of the project: commands, options, links, pictures, tables, length."""

import dataclasses
import functools
import importlib
import re
import shlex

import pytest

import sagan_tf
from sagan_tf.__main__ import commands
from sagan_tf.data.kinds import KINDS
from sagan_tf.metrics.catalog import METRICS
from sagan_tf.networks import ARCHITECTURES, discriminator_resolutions, generator_resolutions
from sagan_tf.system import options
from sagan_tf.system.errors import UserError
from sagan_tf.training.losses import LOSSES
from tests.conftest import ROOT

FOLDERS = ("sagan_tf", "flags", "tools", "tests")
PAGES = [ROOT / "README.md", *sorted(path for each in FOLDERS for path in (ROOT / each).rglob("README.md"))]
# What was done once, with the commands of its time.
HISTORY = [page for page in PAGES if "earlier_files" in page.parts]
MOST_WORDS, MOST_LINES, MOST_BYTES = 2000, 150, 300_000
FOREIGN = {
    "--logdir",
    "--port",
    "--rest_api_port",
    "--model_config_file",
    "--enable_batching",
    "--rm",
    "--mount",
}
FOREIGN |= {"--batching_parameters_file", "--beam_pipeline_options", "--help", "--helpfull", "--version"}
FOREIGN |= {"--flagfile", "--requirement", "--install"}
PLACEHOLDER = re.compile(r"[A-Z_]{1,}$|.*[A-Z_]{3,}")  # N, DIR, FOLDER_OR_SAVEDMODEL


def name_of(page):
    return str(page.relative_to(ROOT))


every_page = pytest.mark.parametrize("page", PAGES, ids=name_of)
present_page = pytest.mark.parametrize("page", [page for page in PAGES if page not in HISTORY], ids=name_of)


@functools.cache
def options_of(program):
    """The options of `sagan_tf.NAME` or of `tools/NAME.py`."""
    module = importlib.import_module(program.removesuffix(".py").replace("/", "."))
    return getattr(module, "Options", None) or module.Config


@functools.cache
def fields():
    """Every field of every command and tool, by the option's name."""
    programs = [f"sagan_tf.{name}" for name in commands()]
    programs += [
        f"tools/{path.name}" for path in (ROOT / "tools").glob("*.py") if "Options" in path.read_text()
    ]
    found = {}
    for program in programs:
        for field in dataclasses.fields(options_of(program)):
            found.setdefault(field.name, []).append(field)
    return found


FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def code_blocks(text, *languages):
    return [code for language, code in FENCED.findall(text) if language in languages]


def prose(text):
    """The text without its blocks of code."""
    return FENCED.sub("", text)


def inline_code(text):
    """Code between single backticks, outside blocks."""
    return [each.replace("\n", " ") for each in re.findall(r"`([^`]+)`", prose(text))]


def shell_lines(text):
    """Command lines of the text's blocks, with continued lines joined, and of its inline code."""
    lines = "".join(code_blocks(text, "bash", "")).replace("\\\n", " ").splitlines()
    lines += [each for each in inline_code(text) if each.startswith(("python ", "bash "))]
    return [line for line in lines if re.search(r"python (-m sagan_tf\.|tools/)", line)]


def own_commands(text):
    """(program, arguments) of each command line that starts a command or tool of this project."""
    for line in shell_lines(text):
        words = shlex.split(line, comments=True)
        words = [word for word in words if not re.match(r"[A-Z_]+=", word)]
        if words[:2] == ["python", "-m"] and words[2].startswith("sagan_tf."):
            yield words[2], words[3:]
        elif words[:1] == ["python"] and len(words) > 1 and words[1].startswith("tools/"):
            yield words[1], words[2:]


@present_page
def test_commands_parse(page, monkeypatch):
    """Their programs, flags, flagfiles and values exist, and their options fit together."""
    monkeypatch.chdir(ROOT)
    for program, arguments in own_commands(page.read_text()):
        if program.rpartition(".")[2].isupper():  # COMMAND, NAME
            continue
        assert options_of(program), program
        if arguments and not {"--help", "..."} & set(arguments):  # else it is named, not given
            assert refusal(program, arguments) == "", (program, arguments)


def refusal(program, arguments):
    """The mistake in a command's arguments; "" if there is none. Places need not be there, flagfiles do."""
    cls = options_of(program)
    arguments = [each.strip("[]") for each in arguments]  # as of [--optional=VALUE]
    with pytest.MonkeyPatch.context() as without_check:
        without_check.setattr(cls, "check", lambda options: None, raising=False)
        try:
            parsed, _ = options.parse(cls, arguments)
        except UserError as error:
            return str(error)
    try:  # the options of a training run among themselves, with data that is there
        if program == "sagan_tf.train":
            places = {
                field.name: field.default
                for field in dataclasses.fields(cls)
                if field.metadata["is_path"] and field.name != "initialize_from"
            }
            options.check(dataclasses.replace(parsed, **places | {"workdir": "run", "dataset": "digits"}))
    except UserError as error:
        return str(error)
    return ""


def test_mistakes_in_commands_are_found():
    assert "banana" in refusal("sagan_tf.sample", ["--workdir=a", "--what=banana"])
    assert refusal("sagan_tf.train", ["--workdir=a", "--image_size=32", "--generator_attention=64"])
    assert "nowhere.cfg" in refusal("sagan_tf.train", ["--workdir=a", "--flagfile=flags/nowhere.cfg"])
    assert refusal("tools/benchmark.py", ["--what=nothing"]) and refusal(
        "tools/benchmark.py", ["--colour=red"]
    )
    assert list(own_commands("```bash\nA=1 python -m sagan_tf.train --x \\\n  --y  # z\n```")) == [
        ("sagan_tf.train", ["--x", "--y"])
    ]


@present_page
def test_options_in_the_text_exist(page):
    """Each `--name` and `--name=value` is an option of a command, and the value one of its choices."""
    for code in inline_code(page.read_text()) + code_blocks(page.read_text(), "bash"):
        for flag, value in re.findall(r"(?<![\w-])(--[a-z][\w]*)(?:=([^\s,`'\"]*(?:,[^\s`'\"]+)*))?", code):
            if flag in FOREIGN:
                continue
            name = flag[2:]
            known = fields().get(name) or fields().get(name.removeprefix("no"))
            assert known, f"{flag} is no option"
            assert not value or PLACEHOLDER.match(value) or any(takes(field, value) for field in known), (
                f"{flag}={value}"
            )


def takes(field, value):
    choices = field.metadata["choices"]
    return (
        choices is None
        or value in choices
        or {each.strip(")") for each in value.split(",")} <= set(map(str, choices))
    )


@every_page
def test_scripts_exist(page):
    for path in re.findall(r"(?:bash|python) ((?:tools|tests)/[\w/.]+)", page.read_text()):
        assert page in HISTORY or (ROOT / path).exists(), path


def anchors(page):
    """GitHub's names of a page's headings."""
    headings = re.findall(r"^#+ (.*)", prose(page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(page):
    return re.findall(r"\]\(([^)\s]+)\)", prose(page.read_text()))


@every_page
def test_links_and_pictures_exist(page):
    for link in links(page):
        if not link.startswith("http"):
            path, _, anchor = link.partition("#")
            target = page.parent / path if path else page
            assert target.exists(), link
            assert not anchor or anchor in anchors(target), link
            assert target.suffix not in (".png", ".webp") or target.stat().st_size < MOST_BYTES, link


def test_every_page_is_reached_from_the_first():
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        reached.add(page)
        targets = {
            (page.parent / link.partition("#")[0]).resolve() for link in links(page) if "://" not in link
        }
        waiting += [target for target in targets if target in PAGES and target not in reached]
    assert set(PAGES) - reached == set()


@every_page
def test_no_page_is_too_long(page):
    words, lines = len(page.read_text().split()), len(page.read_text().splitlines())
    print(f"{name_of(page)}: {words:,} words")
    assert words <= MOST_WORDS
    assert page != ROOT / "README.md" or lines <= MOST_LINES


@present_page
def test_lines_of_code_are_seen_whole(page):
    """A page shows 105 characters of a line of code; what is longer is to be scrolled for."""
    assert [
        line for code in code_blocks(page.read_text(), "bash") for line in code.splitlines() if line[105:]
    ] == []


def first_column(page, heading):
    """Code in the first column of the table that begins with this heading."""
    rows = (ROOT / page).read_text().partition(f"| {heading} |")[2].partition("\n\n")[0].splitlines()[2:]
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row.split("|")[1])]


def choices(program, name):
    return {str(each) for each in options_of(program).__dataclass_fields__[name].metadata["choices"]}


ROOMS = "sagan_tf/{}/README.md".format


@pytest.mark.parametrize(
    ("page", "heading", "expected"),
    [
        (ROOMS("inspection"), "`--what=`", choices("sagan_tf.sample", "what")),
        (ROOMS("metrics"), "`--metrics=`", set(METRICS)),
        (ROOMS("training"), "`--loss=`", set(LOSSES)),
        (ROOMS("data"), "`--encoding=`", choices("sagan_tf.prepare_data", "encoding")),
        (ROOMS("monitoring"), "`--on_divergence=`", choices("sagan_tf.train", "on_divergence")),
        (ROOMS("reproduction"), "`--experiment=`", choices("sagan_tf.reproduce", "experiment") - {"all"}),
    ],
)
def test_tables_of_choices(page, heading, expected):
    assert set(first_column(page, heading)) == expected


def test_table_of_sources():
    kinds = {each.partition(":")[0] for each in first_column(ROOMS("data"), "`--dataset=`")}
    assert kinds == set(KINDS)


def test_table_of_sizes():
    """Channels after each block, and where attention can stand, as in `ARCHITECTURES`."""
    page = (ROOT / ROOMS("networks")).read_text()
    for size, architecture in ARCHITECTURES.items():
        generator, discriminator = generator_resolutions(size), discriminator_resolutions(size)
        channels = architecture.generator
        row = f"| {size} | {channels[0]}, then {' '.join(map(str, channels))} | "
        row += f"{' '.join(map(str, architecture.discriminator))} | "
        row += f"{min(generator)}-{max(generator)}; {min(discriminator)}-{max(discriminator)} |"
        assert row in page, row


def test_tables_of_rooms():
    """sagan_tf/README.md has every room, and the page of each room that has one."""
    page = (ROOT / "sagan_tf" / "README.md").read_text()
    rooms = {path.parent.name for path in (ROOT / "sagan_tf").glob("*/__init__.py")}
    assert {name.strip("/") for name in first_column("sagan_tf/README.md", "room")} == rooms
    assert all(f"({path.parent.name}/README.md)" in page for path in (ROOT / "sagan_tf").glob("*/README.md"))


def test_defaults_in_the_text():
    """`--name=value` (default) is the default."""
    named = [
        match for page in PAGES for match in re.findall(r"`--(\w+)=([^`]+)` \(default\)", page.read_text())
    ]
    assert len(named) > 5
    for name, value in named:
        assert any(options.format_value(field.default) == value for field in fields()[name]), (name, value)


def test_package_names_this_version():
    readme = (ROOT / "README.md").read_text()
    assert f"version = {{{sagan_tf.__version__}}}" in readme and f"- **{sagan_tf.__version__}**" in readme
