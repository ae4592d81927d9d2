"""
A double of Gitea's REST API, which Forgejo and Codeberg speak too.

Kept from the real one: the list has no filter for a branch and small pages, a draft is a prefix of
the title, labels are set by number, one unknown reviewer refuses the whole list.
"""

from __future__ import annotations

from collections.abc import Mapping

from tests.support.hosts.described import Json
from tests.support.hosts.double import FORK_ID, Answer, HostDouble, Pull, Seen, members, parts
from tests.support.hosts.double import words as strings

REPOSITORY_ID = 99


class GiteaDouble(HostDouble):
    """One instance; /api/v1."""

    name = "gitea"
    root = "/api/v1"

    def __init__(self) -> None:
        super().__init__()
        self.teams = {"core"}
        self.org_labels = {"security": 50}
        self.page = 2
        """An operator may set a page smaller than what is asked for."""
        self._total: int | None = None

    def is_authorized(self, seen: Seen) -> bool:
        return seen.headers.get("authorization") == f"token {self.token}"

    def headers(self, seen: Seen) -> Mapping[str, str]:
        return {} if self._total is None else {"x-total-count": str(self._total)}

    def route(self, seen: Seen) -> Answer:
        self._total = None
        match seen.method, parts(seen.path):
            case "GET", ["user"]:
                return 200, {"id": 1, "login": "root", "email": "root@example.com"}
            case "GET", ["orgs", self.owner, "labels"]:
                return self._listed(_labels(self.org_labels), seen)
            case "GET", ["repos", self.owner, self.repository]:
                return 200, self._repository()
            case method, ["repos", self.owner, self.repository, *rest]:
                return self._inside(seen, method, rest)
            case _:
                return _missing()

    def _inside(self, seen: Seen, method: str, rest: list[str]) -> Answer:
        match method, rest:
            case "GET", ["labels"]:
                return self._listed(_labels(self.label_names), seen)
            case "GET", ["pulls"]:
                state = seen.query.get("state", "open")
                pulls = [p for p in self.pulls if state == "all" or (p.state == "open")]
                return self._listed([self._shown(pull) for pull in reversed(pulls)], seen)
            case "POST", ["pulls"]:
                return self._create(members(seen.body))
            case _, ["pulls" | "issues", number, *deeper]:
                pull = self.pull(int(number))
                return self._one(pull, seen, deeper) if pull else _missing()
            case _:
                return _missing()

    def _one(self, pull: Pull, seen: Seen, deeper: list[str]) -> Answer:
        match seen.method, deeper:
            case "GET", []:
                return 200, self._shown(pull)
            case "PATCH", []:
                return self._update(pull, members(seen.body))
            case "POST", ["labels"]:
                return self._label(pull, members(seen.body))
            case "POST", ["requested_reviewers"]:
                return self._review(pull, members(seen.body))
            case _:
                return _missing()

    def _create(self, body: Json) -> Answer:
        head, base = str(body["head"]), str(body["base"])
        if {head, base} - self.branches:
            return _missing()
        for pull in self.pulls:
            if (pull.head, pull.base, pull.state) == (head, base, "open") and not pull.from_fork:
                return 409, {"message": "pull request already exists for these targets"}
        pull = self.open(head, base, text=str(body.get("body") or ""))
        _retitle(pull, str(body["title"]))
        return 201, self._shown(pull)

    def _update(self, pull: Pull, body: Json) -> Answer:
        base = str(body.get("base", pull.base))
        if base not in self.branches:
            return _missing()
        pull.base = base
        if "title" in body:
            _retitle(pull, str(body["title"]))
        pull.text = str(body.get("body", pull.text))
        return 201, self._shown(pull)

    def _label(self, pull: Pull, body: Json) -> Answer:
        wanted = body["labels"]
        assert isinstance(wanted, list)
        known = self.label_names | self.org_labels
        added = [name for name, number in known.items() if number in wanted]
        pull.labels = list(dict.fromkeys(pull.labels + added))
        return 200, _labels({name: known[name] for name in pull.labels})

    def _review(self, pull: Pull, body: Json) -> Answer:
        users, teams = strings(body["reviewers"]), strings(body["team_reviewers"])
        for name in users:
            if name not in self.users:
                return 404, {"message": f"user does not exist [name: {name}]"}
        if not {*teams} <= self.teams:
            return 404, {"message": "team does not exist"}
        pull.reviewers = list(dict.fromkeys([*pull.reviewers, *users, *teams]))
        return 201, []

    def _listed(self, items: list[Json], seen: Seen) -> Answer:
        size = min(int(seen.query.get("limit", "30")), self.page)
        start = (int(seen.query.get("page", "1")) - 1) * size
        self._total = len(items)
        return 200, items[start : start + size]

    def _shown(self, pull: Pull) -> Json:
        home = FORK_ID if pull.from_fork else REPOSITORY_ID
        return {
            "id": 5_000 + pull.number,
            "number": pull.number,
            "title": f"WIP: {pull.title}" if pull.draft else pull.title,
            "body": pull.text,
            "state": "open" if pull.state == "open" else "closed",
            "merged": pull.state == "merged",
            "draft": pull.draft,
            "html_url": self.web_url(f"pulls/{pull.number}"),
            "head": {"label": pull.head, "ref": pull.head, "repo_id": home},
            "base": {"label": pull.base, "ref": pull.base, "repo_id": REPOSITORY_ID},
            "labels": _labels(dict.fromkeys(pull.labels, 1)),
        }

    def _repository(self) -> Json:
        return {
            "id": REPOSITORY_ID,
            "name": self.repository,
            "full_name": self.full_name,
            "default_branch": self.default_branch,
        }


def _labels(names: Mapping[str, int]) -> list[Json]:
    return [{"id": number, "name": name, "color": "00aabb"} for name, number in names.items()]


def _retitle(pull: Pull, title: str) -> None:
    pull.draft = title.startswith("WIP: ")
    pull.title = title.removeprefix("WIP: ")


def _missing() -> Answer:
    return 404, {"message": "The target couldn't be found.", "errors": []}
