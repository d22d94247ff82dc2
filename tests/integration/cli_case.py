"""A test case that runs the `steward` command against its manager."""

import json
import subprocess

import harness


class CliCase(harness.Case):
    """Runs `steward` with the manager's endpoint in its environment."""

    def argv(self, *arguments):
        """The command line."""
        return [harness.binary("steward"), *map(str, arguments)]

    def env(self):
        """The environment of the command."""
        return harness.environment(STEWARD_ENDPOINT=self.endpoint)

    def run_it(self, *arguments, stdin=b"", status=0, timeout=harness.PATIENCE):
        """Runs it to its end; (stdout, stderr) as bytes. The status must be `status`."""
        done = subprocess.run(self.argv(*arguments), input=stdin, env=self.env(), timeout=timeout,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        self.assertEqual(done.returncode, status,
                         f"steward {arguments}\n{done.stdout[-500:]}\n{done.stderr[-2000:]}")
        return done.stdout, done.stderr

    def out(self, *arguments, **more):
        """Its stdout as text; nothing may stand on stderr."""
        out, err = self.run_it(*arguments, **more)
        self.assertEqual(err, b"")
        return out.decode()

    def json(self, *arguments, **more):
        """Its lines of JSON."""
        return [json.loads(line) for line in self.out("--json", *arguments, **more).splitlines()]

    def fails(self, status, word, *arguments, **more):
        """It ends with `status`, one line on stderr, and `word` in it."""
        _, err = self.run_it(*arguments, status=status, **more)
        text = err.decode()
        self.assertIn(word, text)
        self.assertTrue(text.startswith("steward: "), text)
        return text

    def background(self, *arguments, **more):
        """Starts it."""
        return self.start(self.argv(*arguments), env=self.env(), **more)

    def shell(self, script, timeout=harness.PATIENCE):
        """Runs a shell script in which $S is `steward`; its stdout."""
        env = {**self.env(), "S": harness.binary("steward"), "Q": self.name()}
        done = subprocess.run(["bash", "-o", "pipefail", "-ec", script], env=env, timeout=timeout,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        self.assertEqual(done.returncode, 0, f"{done.stdout[-500:]}\n{done.stderr[-2000:]}")
        return done.stdout.decode()
