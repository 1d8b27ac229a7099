// Chat completions, by the official package.
import { all, ASKED, clientOf, MODEL, NAMED, thrown } from './gateway.mjs';

const user = (content) => ({ role: 'user', content });
const asking = (content, more = {}) => ({ model: MODEL, messages: [user(content)], ...more });
const TOOL = {
  type: 'function',
  function: {
    name: 'weather',
    parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
  },
};

export async function whole(address) {
  const messages = [{ role: 'system', content: 'Be brief.' }, user('Hello')];
  const { data, request_id } = await clientOf(address).chat.completions.create({ model: MODEL, messages }).withResponse();
  return { data, request_id };
}

export async function streamed(address) {
  const options = { stream: true, stream_options: { include_usage: true } };
  return all(await clientOf(address).chat.completions.create(asking('Hello', options)));
}

export async function streamedByItsHelper(address) {
  const stream = clientOf(address).chat.completions.stream(asking('Hello'));
  const words = [];
  stream.on('content', (delta) => words.push(delta));
  return { final: await stream.finalChatCompletion(), words: words.join('') };
}

export async function remembersByHeader(address) {
  const { create } = bound(address);
  const headers = { headers: { 'X-Conversation-Id': 'c1' } };
  await create(asking(NAMED), headers);
  return (await create(asking(ASKED), headers)).choices[0].message.content;
}

export async function remembersByBody(address) {
  const { create } = bound(address);
  await create(asking(NAMED, { conversation: 'c1' }));
  const chunks = await all(await create(asking(ASKED, { conversation: { id: 'c1' }, stream: true })));
  return chunks.map((each) => each.choices[0]?.delta.content ?? '').join('');
}

export async function forgets(address) {
  const { create } = bound(address);
  await create(asking(NAMED));
  return (await create(asking(ASKED))).choices[0].message.content;
}

// The package's own loop: it calls the functions and sends everything again, after every one.
export async function runsTools(address, options = {}) {
  const calls = [];
  const given = {
    name: 'weather',
    parameters: TOOL.function.parameters,
    parse: JSON.parse,
    function: ({ city }) => {
      calls.push(city);
      return `It is sunny in ${city}.`;
    },
  };
  const runner = clientOf(address, options).chat.completions.runTools(
    asking('How is the weather?', { tools: [{ type: 'function', function: given }] }),
  );
  return { said: await runner.finalContent(), calls };
}

export const runsToolsInAConversation = (address) =>
  runsTools(address, { defaultHeaders: { 'X-Conversation-Id': 'c1' } });

// Calls come in pieces; the results alone are sent, the gateway knows the rest.
export async function streamsTools(address) {
  const client = clientOf(address, { defaultHeaders: { 'X-Conversation-Id': 'c1' } });
  const stream = client.chat.completions.stream(asking('How is the weather?', { tools: [TOOL] }));
  const { message, finish_reason } = (await stream.finalChatCompletion()).choices[0];
  const results = message.tool_calls.map((each) => ({
    role: 'tool',
    tool_call_id: each.id,
    content: `It is sunny in ${JSON.parse(each.function.arguments).city}.`,
  }));
  const after = await client.chat.completions.create({ model: MODEL, messages: results, tools: [TOOL] });
  return { finish_reason, said: after.choices[0].message.content };
}

export const refused = (address) => thrown(() => bound(address).create(asking('Hello')));

export const refusedForItsModel = (address) =>
  thrown(() => bound(address).create(asking('Hello', { model: 'unheard-of' })));

export const refusedForItsBody = (address) =>
  thrown(() => bound(address).create({ model: MODEL, messages: 'Hello' }));

export const brokenOff = (address) =>
  thrown(async () => all(await bound(address).create(asking('Hello', { stream: true }))));

export async function givesUpAndRepeats(address) {
  const given = { timeout: 1500, maxRetries: 3, defaultHeaders: { 'X-Conversation-Id': 'c1' } };
  const got = await clientOf(address, given).chat.completions.create(asking(NAMED));
  return got.choices[0].message.content;
}

export async function leaves(address) {
  const stream = await bound(address).create(asking('Hello', { stream: true, conversation: 'c1' }));
  for await (const chunk of stream) {
    if (chunk.choices[0]?.delta.content) break;
  }
  return stream.controller.signal.aborted;
}

export async function models(address) {
  return (await all(clientOf(address).models.list())).map((each) => each.id);
}

const bound = (address) => {
  const { completions } = clientOf(address).chat;
  return { create: (...given) => completions.create(...given) };
};
