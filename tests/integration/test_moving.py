"""docs/moving-to-steward.md: every Steward command on it works, in the order of the page."""

import os
import re
import shutil
import subprocess
import unittest

import harness

ROOT = os.path.join(harness.HERE, "..", "..")
PAGE = os.path.join(ROOT, "docs", "moving-to-steward.md")
PATIENCE = 20


def parts():
    """{title: text} of the parts of the page."""
    with open(PAGE, encoding="utf-8") as file:
        _, *found = re.split(r"^## ", file.read(), flags=re.MULTILINE)
    return {text.split("\n", 1)[0]: text for text in found}


def commands(text):
    """(command, status) of the second column, from the top to the end."""
    for row in re.findall(r"^\| .* \|$", text, re.MULTILINE):
        cell = re.split(r"(?<!\\) \| ", row.strip("| "))[1]
        for command, status in re.findall(r"`(stewardd? [^`]*)`(?: \(status (\d+)\))?", cell):
            yield command, int(status or 0)


class Page(harness.DurableCase):
    """Each part with a manager of its own."""

    def run_part(self, title):
        """All of its commands, as an operator's shell runs them."""
        tried = 0
        env = harness.environment(STEWARD_ENDPOINT=self.endpoint,
                                  PATH=f"{harness.BUILD}:{os.environ['PATH']}")
        for command, status in commands(parts()[title]):
            check = " --check-config" if command.startswith("stewardd ") else ""
            done = subprocess.run(["bash", "-c", command + check], env=env, cwd=self.directory,
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, timeout=PATIENCE, check=False)
            self.assertEqual(done.returncode, status, (title, command, done.stdout, done.stderr))
            tried += 1
        return tried

    def test_manager(self):
        self.assertGreaterEqual(self.run_part("From multiprocessing.Manager"), 16)

    def test_redis(self):
        self.assertGreaterEqual(self.run_part("From Redis lists"), 17)

    def test_beanstalkd(self):
        self.assertGreaterEqual(self.run_part("From beanstalkd"), 18)

    def test_rabbitmq(self):
        self.assertGreaterEqual(self.run_part("From RabbitMQ"), 18)

    @unittest.skipUnless(shutil.which("cc"), "there is no compiler")
    @unittest.skipUnless(os.path.exists(harness.binary("libsteward.so")), "no shared library")
    def test_the_program(self):
        program = os.path.join(self.directory, "program")
        text, = re.findall(r"^```c\n(.*?)^```$", parts()["From multiprocessing.Manager"],
                           re.MULTILINE | re.DOTALL)
        with open(program + ".c", "w", encoding="utf-8") as file:
            file.write(text)
        flags = (os.environ.get("CFLAGS") or "").split()
        built = subprocess.run(
            ["cc", "-std=c11", "-Wall", "-Wextra", "-Werror", *flags, program + ".c", "-o", program,
             f"-I{ROOT}/client/include", f"-I{harness.BUILD}/include", f"-L{harness.BUILD}",
             "-lsteward", f"-Wl,-rpath,{harness.BUILD}", "-Wl,--allow-shlib-undefined"],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        self.assertEqual(built.returncode, 0, built.stdout)
        if os.environ.get("ASAN_OPTIONS") and harness.SHORT:
            return      # a program without the sanitizer cannot load a library with it
        done = subprocess.run([program], env=harness.environment(STEWARD_ENDPOINT=self.endpoint),
                              stdout=subprocess.PIPE, timeout=PATIENCE, check=False)
        self.assertEqual((done.returncode, done.stdout), (0, b"A\nB\n"))


class Names(unittest.TestCase):
    """Without a manager."""

    def test_every_function_it_names_is_in_the_header(self):
        with open(f"{ROOT}/client/include/steward.h", encoding="utf-8") as file:
            header = file.read()
        with open(PAGE, encoding="utf-8") as file:
            names = set(re.findall(r"\bstw_\w+", file.read()))
        self.assertGreater(len(names), 15)
        for name in names:
            self.assertRegex(header, rf"\b{name}\b")

    def test_rows_have_their_columns(self):
        for title, text in parts().items():
            for row in re.findall(r"^\| .* \|$", text, re.MULTILINE):
                cells = re.split(r"(?<!\\) \| ", row.strip("| "))
                self.assertIn(len(cells), (2, 3), (title, row))


if __name__ == "__main__":
    harness.main()
