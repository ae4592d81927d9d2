"""
A double of GitLab's REST API with a project in a subgroup.

Kept from the real one: the project's id is its number or its whole path in one encoded part, a
draft is a prefix of the title, reviewers are replaced, the free tier keeps one of them. Without a
target project it behaves as a fork that was set to target its origin.
"""

from __future__ import annotations

from tests.support.hosts.described import Json
from tests.support.hosts.double import FORK_ID, Answer, HostDouble, Pull, Seen, members, parts

PROJECT_ID = 278_964
_STATES = {"open": "opened"}


class GitLabDouble(HostDouble):
    """A self-managed GitLab; /api/v4."""

    name = "gitlab"
    root = "/api/v4"
    owner = "octo-org/web/team"

    def __init__(self) -> None:
        super().__init__()
        self.max_reviewers = 1
        self.scopes = ["api", "read_user"]

    def route(self, seen: Seen) -> Answer:
        match seen.method, parts(seen.path):
            case "GET", ["user"]:
                return 200, self._user("root", 1)
            case "GET", ["personal_access_tokens", "self"]:
                return 200, {"id": 1, "name": "ci", "active": True, "scopes": self.scopes}
            case "GET", ["users"]:
                name = seen.query.get("username", "")
                return 200, [self._user(name, self.users[name])] if name in self.users else []
            case method, ["projects", project, *rest] if project in {
                self.full_name,
                str(PROJECT_ID),
            }:
                return self._inside(seen, method, rest)
            case _:
                return _missing("Project")

    def _inside(self, seen: Seen, method: str, rest: list[str]) -> Answer:
        match method, rest:
            case "GET", []:
                return 200, {
                    "id": PROJECT_ID,
                    "path_with_namespace": self.full_name,
                    "default_branch": self.default_branch,
                    "web_url": self.web_url("").rstrip("/"),
                }
            case "GET", ["merge_requests"]:
                listed = [pull for pull in self.pulls if _is_listed(pull, seen)]
                return 200, [self._shown(pull) for pull in reversed(listed)]
            case "POST", ["merge_requests"]:
                return self._create(members(seen.body))
            case _, ["merge_requests", number] if pull := self.pull(int(number)):
                if method == "PUT":
                    return self._update(pull, members(seen.body))
                return 200, self._shown(pull)
            case _:
                return _missing("Merge request")

    def _create(self, body: Json) -> Answer:
        head, base = str(body["source_branch"]), str(body["target_branch"])
        if body.get("target_project_id") != PROJECT_ID:
            return _missing("Project")
        if head not in self.branches:
            return 400, {"message": {"source_branch": ["does not exist"]}}
        if base not in self.branches:
            return 400, {"message": {"target_branch": ["does not exist"]}}
        for pull in self.pulls:
            if (pull.head, pull.base, pull.state) == (head, base, "open") and not pull.from_fork:
                said = "Another open merge request already exists for this source branch"
                return 409, {"message": [f"{said}: !{pull.number}"]}
        title = str(body["title"])
        pull = self.open(head, base, text=str(body.get("description") or ""))
        _retitle(pull, title)
        return 201, self._shown(pull)

    def _update(self, pull: Pull, body: Json) -> Answer:
        base = str(body.get("target_branch", pull.base))
        if base not in self.branches:
            return 400, {"message": {"target_branch": ["does not exist"]}}
        pull.base = base
        if "title" in body:
            _retitle(pull, str(body["title"]))
        pull.text = str(body.get("description", pull.text))
        added = [name for name in str(body.get("add_labels", "")).split(",") if name]
        pull.labels = list(dict.fromkeys(pull.labels + added))
        if "reviewer_ids" in body:
            wanted = body["reviewer_ids"]
            assert isinstance(wanted, list)
            named = [name for name, number in self.users.items() if number in wanted]
            pull.reviewers = named[: self.max_reviewers]
        return 200, self._shown(pull)

    def _shown(self, pull: Pull) -> Json:
        return {
            "id": 1_000 + pull.number,
            "iid": pull.number,
            "project_id": PROJECT_ID,
            "title": f"Draft: {pull.title}" if pull.draft else pull.title,
            "description": pull.text,
            "state": _STATES.get(pull.state, pull.state),
            "source_branch": pull.head,
            "target_branch": pull.base,
            "source_project_id": FORK_ID if pull.from_fork else PROJECT_ID,
            "target_project_id": PROJECT_ID,
            "web_url": self.web_url(f"-/merge_requests/{pull.number}"),
            "draft": pull.draft,
            "labels": pull.labels,
            "reviewers": [self._user(name, self.users[name]) for name in pull.reviewers],
            "merged_at": "2026-01-26T19:01:12Z" if pull.state == "merged" else None,
        }

    def _user(self, name: str, number: int) -> Json:
        url = f"http://{self.host}/{name}"
        return {"id": number, "username": name, "name": name, "state": "active", "web_url": url}


def _is_listed(pull: Pull, seen: Seen) -> bool:
    state = seen.query.get("state", "all")
    if state not in {"all", _STATES.get(pull.state, pull.state)}:
        return False
    return seen.query.get("source_branch", pull.head) == pull.head


def _retitle(pull: Pull, title: str) -> None:
    pull.draft = title.startswith("Draft: ")
    pull.title = title.removeprefix("Draft: ")


def _missing(what: str) -> Answer:
    return 404, {"message": f"404 {what} Not Found"}
