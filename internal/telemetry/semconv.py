"""
Names of attributes, pinned to one version of OpenTelemetry's semantic conventions.

The GenAI names are still in development there and change between versions, so they are written
here, and a later version is a decision, not an update of a library. What the conventions have no
name for keeps version A's (`task.id`, `task.iteration`, `cli.name`) or begins with `codeforge.`.

Never an attribute: prompts, input and output of tools, results, URLs of repositories, and bodies.
"""

from __future__ import annotations

VERSION = "1.41.0"
SCHEMA_URL = f"https://opentelemetry.io/schemas/{VERSION}"

ERROR_TYPE = "error.type"
HTTP_METHOD = "http.request.method"
HTTP_ROUTE = "http.route"
HTTP_STATUS = "http.response.status_code"
SERVER_ADDRESS = "server.address"
SERVER_PORT = "server.port"

GEN_AI_OPERATION = "gen_ai.operation.name"
GEN_AI_PROVIDER = "gen_ai.provider.name"
GEN_AI_AGENT = "gen_ai.agent.name"
GEN_AI_AGENT_VERSION = "gen_ai.agent.version"
GEN_AI_CONVERSATION = "gen_ai.conversation.id"
GEN_AI_REQUEST_MODEL = "gen_ai.request.model"
GEN_AI_RESPONSE_MODEL = "gen_ai.response.model"
GEN_AI_INPUT_TOKENS = "gen_ai.usage.input_tokens"
GEN_AI_OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
GEN_AI_CACHE_READ_TOKENS = "gen_ai.usage.cache_read.input_tokens"
GEN_AI_CACHE_CREATION_TOKENS = "gen_ai.usage.cache_creation.input_tokens"
GEN_AI_TOOL = "gen_ai.tool.name"
GEN_AI_TOOL_CALL = "gen_ai.tool.call.id"

INVOKE_AGENT = "invoke_agent"
EXECUTE_TOOL = "execute_tool"

TASK_ID = "task.id"
TASK_ITERATION = "task.iteration"
CLI_NAME = "cli.name"
REQUEST_ID = "codeforge.request.id"
TENANT = "codeforge.tenant"
WEBHOOK_EVENT = "codeforge.webhook.event"
ATTEMPT = "codeforge.attempt"
WORKER = "codeforge.worker"
CHECKOUT_MODE = "codeforge.checkout.mode"
COST_USD = "codeforge.cost_usd"
