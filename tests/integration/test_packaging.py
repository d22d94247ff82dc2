"""What is shipped beside the programs says what the programs do: every option of both stands in
--help, manual page, completion and, where it applies, configuration file and operations.md."""

import json
import os
import re
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("STEWARD_BUILD", f"{ROOT}/build")
MANUAL = f"{BUILD}/manual"
PLAIN = {name: value for name, value in os.environ.items() if not name.startswith("STEWARD_")}

COMPLETE = r"""
. "$1"
shift
program=$1
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
"_$program"
printf '%s\n' "${COMPREPLY[@]}"
"""


def run(*command):
    return subprocess.run(command, check=True, env=PLAIN, timeout=60, text=True,
                          stdout=subprocess.PIPE).stdout


def program(name):
    return f"{BUILD}/{name}"


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def long_options(text):
    """The options that a --help lists: each begins a line, behind its letter."""
    return set(re.findall(r"^\s+(?:-\w, )?--([a-z][\w-]*)", text, re.MULTILINE))


def page_options(name):
    """The options that a manual page describes: tags of paragraphs."""
    roff = read(f"{MANUAL}/man/man{name[-1]}/{name}").replace("\\-", "-")
    return set(re.findall(r"^\.TP\n.*?\\fB--([a-z][\w-]*)\\fR", roff, re.MULTILINE))


def complete(name, *words):
    """What bash offers when the last of these words is being written."""
    return set(run("bash", "-c", COMPLETE, "bash", f"{MANUAL}/completions/{name}", name,
                   *words).split())


def commands():
    return [json.loads(line) for line in run(program("steward"), "help", "--json").splitlines()]


def subcommands():
    return set(re.findall(r"^\s+stewardd ([a-z]+)\b", run(program("stewardd"), "--help"),
                          re.MULTILINE))


def file_options():
    """What --check-config prints is a configuration file: the names in it."""
    with tempfile.TemporaryDirectory() as directory:
        text = subprocess.run([program("stewardd"), "--check-config"], check=True, env=PLAIN,
                              cwd=directory, text=True, stdout=subprocess.PIPE).stdout
    return set(re.findall(r"^#? ?([a-z][a-z-]*) = ", text, re.MULTILINE))


@unittest.skipUnless(os.path.isdir(MANUAL), "this build makes no manual pages")
class Manager(unittest.TestCase):
    """stewardd."""

    def setUp(self):
        self.options = long_options(run(program("stewardd"), "--help"))
        self.assertIn("listen", self.options)

    def test_every_option_is_in_the_manual_page(self):
        self.assertEqual(page_options("stewardd.8"), self.options)

    def test_every_option_is_completed(self):
        offered = complete("stewardd", "--")
        self.assertEqual(offered, {f"--{name}" for name in self.options})
        self.assertEqual(complete("stewardd", "--log-level", ""),
                         {"error", "warn", "info", "debug"})

    def test_every_option_of_the_file_is_in_the_file(self):
        text = read(f"{MANUAL}/steward.conf")
        shown = re.findall(r"^(?:# )?([a-z][a-z-]*) = ", text, re.MULTILINE)
        self.assertEqual(sorted(shown), sorted(set(shown)))
        self.assertEqual(set(shown) - self.options, set())
        page = read(f"{MANUAL}/man/man5/steward.conf.5").replace("\\-", "-")
        tags = set(re.findall(r"^\.TP\n\\fB([a-z][\w-]*)\\fR = ", page, re.MULTILINE))
        self.assertEqual(tags, set(shown))
        self.assertEqual(file_options() - set(shown), set())

    def test_the_file_as_packaged_is_valid_and_says_the_defaults(self):
        path = f"{MANUAL}/steward.conf"
        shown = run(program("stewardd"), "--check-config", "--config", path)
        self.assertRegex(shown, r"data = \"?/var/lib/steward\"?")
        self.assertNotRegex(shown, r"(?m)^(?!data|#).*# file")

    def test_the_defaults_it_shows_are_the_defaults(self):
        plain = run(program("stewardd"), "--check-config")
        values = dict(re.findall(r"^#? ?([a-z][a-z-]*) = (\S+)", plain, re.MULTILINE))
        for name, value in re.findall(r"^# ([a-z][a-z-]*) = (\S+)$", read(f"{MANUAL}/steward.conf"),
                                      re.MULTILINE):
            if name not in values or re.fullmatch(r"[A-Z]+", value):
                continue  # no default: what stands there says what is wanted
            with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
                file.write(f"{name} = {value}\n")
                file.flush()
                with self.subTest(option=name):
                    again = run(program("stewardd"), "--check-config", "--config", file.name)
                    got = dict(re.findall(r"^#? ?([a-z][a-z-]*) = (\S+)", again, re.MULTILINE))
                    self.assertEqual(got[name], values[name])

    def test_every_option_of_the_file_is_in_operations(self):
        text = read(f"{ROOT}/docs/operations.md")
        named = {name for row in re.findall(r"^\| (`[^|]*) \|", text, re.MULTILINE)
                 for name in re.findall(r"`([a-z][a-z-]*)`", row)}
        self.assertEqual(self.options - named, set())

    def test_every_subcommand_is_in_page_and_completion(self):
        page = read(f"{MANUAL}/man/man8/stewardd.8").replace("\\-", "-")
        self.assertIn("keygen", subcommands())
        for name in subcommands():
            with self.subTest(subcommand=name):
                self.assertIn(f"stewardd {name}", page)
                self.assertIn(name, complete("stewardd", name[:2]))
                options = long_options(run(program("stewardd"), name, "--help"))
                offered = complete("stewardd", name, "--")
                self.assertLessEqual({f"--{option}" for option in options}, offered)
                for option in options:
                    self.assertIn(f"--{option}", page)


@unittest.skipUnless(os.path.isdir(MANUAL), "this build makes no manual pages")
class Command(unittest.TestCase):
    """steward."""

    def test_every_command_is_in_help_page_and_completion(self):
        overview = run(program("steward"), "--help")
        page = read(f"{MANUAL}/man/man1/steward.1")
        for command in commands():
            words = [word for word in (command["group"], command["name"]) if word]
            with self.subTest(command=" ".join(words)):
                self.assertRegex(overview, rf"(?m)^  {' '.join(words)} ")
                self.assertIn(rf"\fB{' '.join(words)}\fR".replace("-", "\\-"), page)
                self.assertIn(words[-1], complete("steward", *words[:-1], words[-1][:2]))

    def test_every_option_is_in_help_page_and_completion(self):
        for command in commands():
            words = [word for word in (command["group"], command["name"]) if word]
            with self.subTest(command=" ".join(words)):
                options = long_options(run(program("steward"), *words, "--help"))
                self.assertIn("endpoint", options)
                self.assertLessEqual(options, page_options(f"steward-{words[0]}.1"))
                offered = {word for word in complete("steward", *words, "-")
                           if word.startswith("--")}
                self.assertEqual(offered, {f"--{name}" for name in options})

    def test_a_page_has_no_option_that_no_command_has(self):
        for page in {command["group"] or command["name"] for command in commands()}:
            with self.subTest(page=page):
                known = {option["name"] for command in commands()
                         if page in (command["group"], command["name"])
                         for option in command["options"]}
                self.assertEqual(page_options(f"steward-{page}.1") - known, set())

    def test_completion_knows_what_an_option_wants(self):
        self.assertEqual(complete("steward", "queue", "create", "q", "--overflow", "re"),
                         {"reject"})
        self.assertEqual(complete("steward", "--endpoint", "queue", "que"), {"queue"})
        self.assertIn("true", complete("steward", "lock", "name", "--", "tru"))


@unittest.skipUnless(os.path.isdir(MANUAL), "this build makes no manual pages")
class Library(unittest.TestCase):
    """libsteward."""

    def test_every_function_has_its_page(self):
        header = read(f"{ROOT}/client/include/steward.h")
        functions = set(re.findall(r"^STW_API [^;]*?\b(stw_\w+)\(", header, re.MULTILINE))
        page = read(f"{MANUAL}/man/man3/libsteward.3")
        self.assertGreater(len(functions), 80)
        for name in functions:
            self.assertIn(f"{name}(", page)
            self.assertEqual(read(f"{MANUAL}/man/man3/{name}.3"), ".so man3/libsteward.3\n")
        names = re.findall(r"X\(\d+, (\w+),", read(f"{ROOT}/common/base/steward_errors.h"))
        for name in names:
            self.assertIn(f"STW_{name}", page)


@unittest.skipUnless(os.path.isdir(MANUAL), "this build makes no manual pages")
class Installation(unittest.TestCase):
    """`cmake --install` below a prefix of one's own, and a program compiled against it."""

    def test_everything_is_below_the_prefix_and_can_be_compiled_against(self):
        with tempfile.TemporaryDirectory() as directory:
            prefix = f"{directory}/prefix"
            said = run("cmake", "--install", BUILD, "--prefix", prefix)
            places = re.findall(r"^-- (?:Installing|Up-to-date): (.*)$", said, re.MULTILINE)
            self.assertEqual([place for place in places if not place.startswith(prefix)], [])
            for name in ("bin/stewardd", "bin/steward", "include/steward.h",
                         "etc/steward/steward.conf",
                         "share/man/man8/stewardd.8.gz", "share/man/man1/steward-put.1.gz",
                         "share/man/man3/stw_put.3.gz", "lib/systemd/system/stewardd.service",
                         "share/bash-completion/completions/steward"):
                self.assertTrue(os.path.exists(f"{prefix}/{name}"), name)
            found = [path for path, _, files in os.walk(prefix) if "steward.pc" in files]
            self.assertEqual(len(found), 1)
            flags = subprocess.run(
                ["pkg-config", "--cflags", "--libs", "steward"], check=True, text=True,
                env={**PLAIN, "PKG_CONFIG_PATH": found[0]}, stdout=subprocess.PIPE).stdout.split()
            run("cc", f"{ROOT}/cmake/packaging/example/example.c", "-o", f"{directory}/example",
                *flags)
            needed = run("readelf", "-d", f"{directory}/example")
            self.assertIn("[libsteward.so.1]", needed)


class Service(unittest.TestCase):
    """The unit and the maintainer scripts agree on names and places."""

    def test_one_user_and_one_directory(self):
        packaging = f"{ROOT}/cmake/packaging"
        unit = read(f"{packaging}/stewardd.service.in")
        self.assertIn("User=steward\n", unit)
        self.assertIn("Type=notify\n", unit)
        self.assertIn("StateDirectory=steward\n", unit)
        self.assertRegex(read(f"{packaging}/steward.sysusers"), r"(?m)^u steward ")
        self.assertIn("d /var/lib/steward 0700 steward steward",
                      read(f"{packaging}/steward.tmpfiles"))
        self.assertIn("/var/lib/steward", read(f"{packaging}/deb-stewardd/postrm"))


if __name__ == "__main__":
    sys.exit(unittest.main())
