"""
A double of Bitbucket Cloud's REST API.

Kept from the real one: opening a second pull request between the same branches updates the first,
an update without reviewers removes them, one without a title is refused, lists show no reviewers.
"""

from __future__ import annotations

import re
from typing import cast

from tests.support.hosts.described import Json
from tests.support.hosts.double import Answer, HostDouble, Pull, Seen, members, parts

REPOSITORY_UUID = "{11111111-1111-1111-1111-111111111111}"
_FORK_UUID = "{22222222-2222-2222-2222-222222222222}"
_STATES = {"open": "OPEN", "merged": "MERGED", "closed": "DECLINED"}
_QUERY = re.compile(r'source\.branch\.name = "((?:[^"\\]|\\.)*)" AND state = "OPEN"')


def account(number: int) -> str:
    """The UUID of the user with this number."""
    return f"{{{number:08d}-0000-0000-0000-000000000000}}"


class BitbucketDouble(HostDouble):
    """Bitbucket Cloud; /2.0."""

    name = "bitbucket"
    root = "/2.0"

    def __init__(self) -> None:
        super().__init__()
        self.users = {account(11): 11, account(12): 12}

    def unauthorized(self) -> Answer:
        return 401, {"type": "error", "error": {"message": "Token is invalid"}}

    def route(self, seen: Seen) -> Answer:
        match seen.method, parts(seen.path):
            case "GET", ["user"]:
                return 200, {"type": "user", "display_name": "Root", "uuid": account(1)}
            case "GET", ["repositories", self.owner, self.repository]:
                main = {"type": "branch", "name": self.default_branch}
                return 200, {
                    "type": "repository",
                    "uuid": REPOSITORY_UUID,
                    "full_name": self.full_name,
                    "mainbranch": main,
                }
            case method, ["repositories", self.owner, self.repository, "pullrequests", *rest]:
                return self._inside(seen, method, rest)
            case _:
                return _refused(404, "Resource not found")

    def _inside(self, seen: Seen, method: str, rest: list[str]) -> Answer:
        match method, rest:
            case "GET", []:
                return self._list(seen)
            case "POST", []:
                return self._create(members(seen.body))
            case _, [number]:
                pull = self.pull(int(number))
                if pull is None:
                    return _refused(404, "Pull request not found")
                if method == "PUT":
                    return self._update(pull, members(seen.body))
                return 200, self._shown(pull)
            case _:
                return _refused(404, "Resource not found")

    def _list(self, seen: Seen) -> Answer:
        match = _QUERY.fullmatch(seen.query.get("q", ""))
        if match is None:
            return _refused(400, "Invalid query")
        name = re.sub(r"\\(.)", r"\1", match[1])
        found = [pull for pull in self.pulls if pull.head == name and pull.state == "open"]
        values = [self._shown(pull) for pull in reversed(found)]
        for value in values:
            del value["reviewers"]
        return 200, {"values": values, "page": 1, "pagelen": 50, "size": len(values)}

    def _create(self, body: Json) -> Answer:
        head = _branch(body["source"])
        base = _branch(body["destination"]) if "destination" in body else self.default_branch
        if head not in self.branches:
            return _refused(400, f"source: branch not found: {head}")
        if base not in self.branches:
            return _refused(400, f"destination: branch not found: {base}")
        for pull in self.pulls:
            if (pull.head, pull.base, pull.state) == (head, base, "open") and not pull.from_fork:
                pull.title, pull.text = str(body["title"]), str(body.get("description", ""))
                return 201, self._shown(pull)
        pull = self.open(
            head,
            base,
            title=str(body["title"]),
            text=str(body.get("description", "")),
            draft=bool(body.get("draft")),
        )
        return 201, self._shown(pull)

    def _update(self, pull: Pull, body: Json) -> Answer:
        reviewers = cast("list[Json]", body.get("reviewers", []))
        named = [str(reviewer.get("uuid") or reviewer.get("account_id")) for reviewer in reviewers]
        for name in named:
            if name not in self.users:
                return _refused(400, f"reviewers: {name} is not a member")
        base = _branch(body["destination"]) if "destination" in body else pull.base
        if base not in self.branches:
            return _refused(400, f"destination: branch not found: {base}")
        pull.base = base
        pull.reviewers = named
        pull.title = str(body["title"])
        pull.text = str(body.get("description", pull.text))
        pull.draft = bool(body.get("draft", pull.draft))
        return 200, self._shown(pull)

    def _shown(self, pull: Pull) -> Json:
        home = _FORK_UUID if pull.from_fork else REPOSITORY_UUID
        return {
            "type": "pullrequest",
            "id": pull.number,
            "title": pull.title,
            "description": pull.text,
            "state": _STATES[pull.state],
            "draft": pull.draft,
            "source": _end(pull.head, home, self.full_name),
            "destination": _end(pull.base, REPOSITORY_UUID, self.full_name),
            "reviewers": [{"type": "user", "uuid": name} for name in pull.reviewers],
            "links": {"html": {"href": self.web_url(f"pull-requests/{pull.number}")}},
        }


def _branch(end: object) -> str:
    return str(members(members(end)["branch"])["name"])


def _end(branch: str, uuid: str, full_name: str) -> Json:
    repository = {"type": "repository", "uuid": uuid, "full_name": full_name}
    return {"branch": {"name": branch}, "repository": repository}


def _refused(status: int, message: str) -> Answer:
    return status, {"type": "error", "error": {"message": message}}
