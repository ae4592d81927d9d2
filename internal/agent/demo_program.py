"""
The demo agent itself: a program that does what its prompt says, without a model, network or key.

Started as `python -I -S demo_program.py [--resume ID] [--mcp-config FILE]` in a workspace, with the
prompt on stdin. It prints a JSON object a line, whose `type` is one of our event kinds, or
`session`; it names the MCP servers it is given and starts none. Each line of the prompt may be one
action:

    say TEXT                    write PATH: TEXT            sleep SECONDS
    think TEXT                  append PATH: TEXT           hang
    read PATH                   delete PATH                 ignore-signals
    environment                 commit [MESSAGE]            fork | daemon
    flood N MiB                 line N MB                   garbage
    fail [REASON] [MESSAGE]     exit N                      crash | silent

In the TEXT of a file `\\n` is a line break. The other lines are said; a prompt without any action
is noted in NOTES.md, so that every prompt leaves something to see. `silent` prints nothing at
all, from the start. Told to go on where it was interrupted, it does what the prompt before has
left, from that action on. Standard library only and few imports: it starts fast, and in a sandbox.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing and collections.abc would double the start-up time
    from collections.abc import Callable

_INTERRUPTED = 130
_NOTES = "NOTES.md"
_GO_ON = "Go on where you were interrupted"
_CHILD_SECONDS = 600  # what `fork` and `daemon` leave behind ends some day, whatever happens
_COMMIT = 'git add --all && git -c user.name=Demo -c user.email=demo@localhost commit -m "$MESSAGE"'
_REASONS = ("rate_limited", "quota_exhausted", "auth_failed", "budget_exceeded", "session_lost")
_GARBAGE = (
    b"this is no JSON\n",
    b"\xff\xfe invalid UTF-8 \x00\n",
    b'{"type": "text", "text": "cut of\n',
    b'{"type": "text", "text": 7}\n',
    b'{"type": ["text"], "text": NaN}\n',
    b"[" * 100_000 + b"\n",
    b"\n",
)


class Stop(Exception):  # noqa: N818 - the end of a script is no error
    """The script ends with *status*; with a *message*, a result line says that it failed."""

    def __init__(self, status: int, message: str = "", reason: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.reason = reason


class Voice:
    """What the agent prints, and the tokens that it pretends to use."""

    def __init__(self, prompt: str, *, is_silent: bool) -> None:
        self._is_silent = is_silent
        self._calls = 0
        self._input_tokens = 1 + len(prompt) // 4
        self._output_tokens = 1
        self.last_text = ""

    def emit(self, kind: str, **members: object) -> None:
        """Print one line."""
        self.write(json.dumps({"type": kind, **members}).encode() + b"\n")

    def write(self, content: bytes) -> None:
        """Print *content* as it is."""
        if not self._is_silent:
            sys.stdout.buffer.write(content)
            sys.stdout.buffer.flush()

    def say(self, text: str) -> None:
        """A `text` line."""
        self.last_text = text
        self.emit("text", text=text)
        self.usage(len(text))

    def usage(self, characters: int = 0) -> None:
        """What was used in this run so far, with *characters* more."""
        self._output_tokens += 1 + characters // 4
        self.emit("usage", input_tokens=self._input_tokens, output_tokens=self._output_tokens)

    def tool(self, name: str, argument: str, work: Callable[[], str]) -> None:
        """Do *work* as a tool call; one that fails is told, and the script goes on."""
        self._calls += 1
        call = f"call-{self._calls}"
        self.emit("tool_use", id=call, name=name, input={"argument": argument})
        try:
            output, is_error = work(), False
        except (OSError, ValueError) as error:
            output, is_error = str(error), True
        self.emit("tool_result", id=call, output=output, is_error=is_error)
        self.usage(len(output))


class Session:
    """The prompts so far: a file in HOME, named by the session's id."""

    def __init__(self, resume: str | None) -> None:
        """Raises OSError when *resume* names no session."""
        self.id = resume or "-".join(os.urandom(4).hex() for _ in range(4))
        self._directory = os.path.join(os.path.expanduser("~"), ".demo-agent")
        self._file = os.path.join(self._directory, f"{self.id}.json")
        self.prompts: list[str] = []
        if resume:
            with open(self._file, encoding="utf-8") as file:
                self.prompts = json.load(file)

    def remember(self, prompt: str) -> None:
        """Keep *prompt* for the next run."""
        os.makedirs(self._directory, exist_ok=True)
        self.prompts.append(prompt)
        with open(self._file, "w", encoding="utf-8") as file:
            json.dump(self.prompts, file)

    def keep_done(self, actions: int) -> None:
        """Keep how many actions of the newest prompt are done."""
        with open(f"{self._file}.done", "w", encoding="utf-8") as file:
            file.write(str(actions))

    def left(self) -> tuple[str, int]:
        """The newest prompt, and how many of its actions are done."""
        try:
            with open(f"{self._file}.done", encoding="utf-8") as file:
                return self.prompts[-1], int(file.read())
        except (OSError, ValueError):
            return self.prompts[-1], 0


def main(arguments: list[str]) -> int:
    """Read the prompt, do it, and return the exit status."""
    signal.signal(signal.SIGINT, _interrupted)
    prompt = sys.stdin.buffer.read().decode(errors="replace")
    voice = Voice(prompt, is_silent="silent" in prompt.splitlines())
    try:
        _run(prompt, _option(arguments, "--resume"), _option(arguments, "--mcp-config"), voice)
    except Stop as stop:
        if stop.message:
            voice.emit("result", text=stop.message, is_error=True, reason=stop.reason)
        return stop.status
    voice.emit("result", text=voice.last_text, is_error=False)
    return 0


def _option(arguments: list[str], name: str) -> str | None:
    return arguments[arguments.index(name) + 1] if name in arguments else None


def _run(prompt: str, resume: str | None, mcp_config: str | None, voice: Voice) -> None:
    try:
        session = Session(resume)
    except (OSError, ValueError) as error:
        raise Stop(1, f"No session {resume}", "session_lost") from error
    voice.emit("session", session_id=session.id)
    if mcp_config:
        with open(mcp_config, encoding="utf-8") as file:
            names = json.load(file)["mcpServers"]
        voice.emit("system", text=f"MCP servers: {', '.join(names)}")
    if resume:
        voice.say(f"I remember {len(session.prompts)} earlier prompt(s)")
    if prompt.startswith(_GO_ON) and session.prompts:
        _act(*session.left(), session, voice)
    else:
        session.remember(prompt)
        _act(prompt, 0, session, voice)


def _act(prompt: str, done: int, session: Session, voice: Voice) -> None:
    script = Script(voice)
    steps = [(line, _action(line)) for line in prompt.splitlines() if line.strip()]
    if not any(found for _, found in steps):
        script.note(prompt)
        return
    for number, (line, found) in enumerate(steps[done:], start=done):
        session.keep_done(number)
        if found is None:
            script.say(line.strip())
        else:
            action, given = found
            action(script, *given)
    session.keep_done(len(steps))


def _action(line: str) -> tuple[Callable[..., None], tuple[str, ...]] | None:
    for pattern, action in _ACTIONS:
        if found := re.fullmatch(pattern, line.rstrip()):
            return action, found.groups(default="")
    return None


class Script:
    """The actions, one method each; the arguments are what their pattern captures."""

    def __init__(self, voice: Voice) -> None:
        self._voice = voice

    def note(self, prompt: str) -> None:
        """What a prompt without any action gets."""
        heading = "" if os.path.exists(_NOTES) else "# Notes\n\n"
        lines = [line.strip() for line in prompt.splitlines() if line.strip()]
        self._voice.say(f"I am the demo agent: I note this in {_NOTES}")
        self.put("append", _NOTES, heading + "- " + "\n  ".join(lines))

    def say(self, text: str) -> None:
        self._voice.say(text)

    def think(self, text: str) -> None:
        self._voice.emit("thinking", text=text)

    def environment(self) -> None:
        self._voice.say(" ".join(sorted(os.environ)))

    def put(self, verb: str, path: str, text: str) -> None:
        def work() -> str:
            os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
            with open(path, "w" if verb == "write" else "a", encoding="utf-8") as file:
                written = file.write(text.replace("\\n", "\n") + "\n")
            return f"{written} characters to {path}"

        self._voice.tool(verb, path, work)

    def read(self, path: str) -> None:
        def work() -> str:
            with open(path, encoding="utf-8", errors="replace") as file:
                return file.read(65_536)

        self._voice.tool("read", path, work)

    def delete(self, path: str) -> None:
        def work() -> str:
            os.remove(path)
            return f"{path} is gone"

        self._voice.tool("delete", path, work)

    def commit(self, message: str) -> None:
        def work() -> str:
            import subprocess  # noqa: PLC0415 - slow to import, seldom needed

            environment = {**os.environ, "MESSAGE": message or "Work of the demo agent"}
            shell = ("/bin/sh", "-c", _COMMIT)
            done = subprocess.run(  # noqa: S603 - nothing of the prompt is in the words
                shell, env=environment, capture_output=True, check=False
            )
            return (done.stdout + done.stderr).decode(errors="replace")

        self._voice.tool("commit", message, work)

    def sleep(self, seconds: str) -> None:
        time.sleep(float(seconds))

    def hang(self) -> None:
        while True:
            signal.pause()

    def ignore_signals(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)

    def fork(self) -> None:
        if os.fork() == 0:
            self._linger()

    def daemon(self) -> None:
        child = os.fork()
        if child:
            os.waitpid(child, 0)
            return
        os.setsid()
        if os.fork() == 0:
            self._linger()
        os._exit(0)

    def flood(self, mebibytes: str) -> None:
        line = json.dumps({"type": "text", "text": "flood " * 165}).encode() + b"\n"
        block = line * (65_536 // len(line))
        for _ in range(int(mebibytes) * 1024 * 1024 // len(block) + 1):
            self._voice.write(block)

    def line(self, megabytes: str) -> None:
        self._voice.emit("text", text="x" * int(megabytes) * 1_000_000)

    def garbage(self) -> None:
        self._voice.write(b"".join(_GARBAGE))

    def fail(self, reason: str, message: str) -> None:
        raise Stop(1, message or f"failed as told: {reason or 'no reason'}", reason or None)

    def exit(self, status: str) -> None:
        raise Stop(int(status))

    def crash(self) -> None:
        os.abort()

    def silent(self) -> None:
        """Nothing to do: looked for before the first line is printed."""

    def _linger(self) -> None:
        """Keep stdout open and do nothing, deaf to signals."""
        self.ignore_signals()
        time.sleep(_CHILD_SECONDS)
        os._exit(0)


def _interrupted(number: int, frame: object) -> None:
    del number, frame
    raise Stop(_INTERRUPTED, "interrupted")


_ACTIONS: tuple[tuple[str, Callable[..., None]], ...] = (
    (r"say:? (.+)", Script.say),
    (r"think:? (.+)", Script.think),
    (r"(write|append) (\S+): ?(.*)", Script.put),
    (r"read (\S+)", Script.read),
    (r"delete (\S+)", Script.delete),
    (r"commit(?:[: ]+(.+))?", Script.commit),
    (r"environment", Script.environment),
    (r"sleep ([\d.]+)", Script.sleep),
    (r"hang", Script.hang),
    (r"ignore-signals", Script.ignore_signals),
    (r"fork", Script.fork),
    (r"daemon", Script.daemon),
    (r"flood (\d+)(?: ?MiB)?", Script.flood),
    (r"line (\d+)(?: ?MB)?", Script.line),
    (r"garbage", Script.garbage),
    (rf"fail(?:[: ]+({'|'.join(_REASONS)}))?(?:[: ]+(.+))?", Script.fail),
    (r"exit (\d+)", Script.exit),
    (r"crash", Script.crash),
    (r"silent", Script.silent),
)

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
