// Responses, by the official package.
import { zodTextFormat } from 'openai/helpers/zod';
import { z } from 'zod';
import { all, ASKED, clientOf, MODEL, NAMED, thrown } from './gateway.mjs';

const TOOL = {
  type: 'function',
  name: 'weather',
  description: 'The weather in a city.',
  parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
  strict: false,
};
const QUESTION = { model: MODEL, input: 'How is the weather?', tools: [TOOL], reasoning: { effort: 'high' } };

const resultsOf = (response) =>
  response.output
    .filter((item) => item.type === 'function_call')
    .map(({ call_id, arguments: given }) => ({
      type: 'function_call_output',
      call_id,
      output: `It is sunny in ${JSON.parse(given).city}.`,
    }));

const create = (address, input, more = {}) => clientOf(address).responses.create({ model: MODEL, input, ...more });

const finished = (address, input, more = {}) =>
  clientOf(address).responses.stream({ model: MODEL, input, ...more }).finalResponse();

export const whole = (address) => create(address, 'Hello', { instructions: 'Be brief.' });

export async function streamed(address) {
  return all(await create(address, 'Hello', { stream: true }));
}

// The package folds the events by itself, and checks their order and their ids.
export async function streamedByItsHelper(address) {
  const stream = clientOf(address).responses.stream(QUESTION);
  const words = [];
  const calls = [];
  stream.on('response.reasoning_summary_text.delta', (event) => words.push(event.delta));
  stream.on('response.function_call_arguments.delta', (event) => calls.push(event.snapshot));
  const { output } = await stream.finalResponse();
  return { output, words: words.join(''), call: calls.at(-1) };
}

export async function follows(address) {
  const first = await create(address, NAMED);
  const more = { previous_response_id: first.id };
  const told = await create(address, ASKED, more);
  const events = await all(await create(address, ASKED, { ...more, stream: true }));
  const helped = await finished(address, ASKED, more);
  return {
    whole: told.output_text,
    streamed: events.at(-1).response.output.at(-1).content[0].text,
    helped: helped.output_text,
    beside: (await create(address, ASKED)).output_text,
  };
}

export async function conversation(address) {
  const { id } = await clientOf(address).conversations.create({});
  await create(address, NAMED, { conversation: id });
  const told = await finished(address, ASKED, { conversation: { id } });
  return { said: told.output_text, same: told.conversation?.id === id };
}

async function called(address, make, more = {}) {
  const first = await make(address, NAMED, more);
  const after = more.conversation ? () => more : (response) => ({ previous_response_id: response.id });
  const calling = await make(address, QUESTION.input, { ...after(first), tools: [TOOL] });
  const told = await make(address, resultsOf(calling), { ...after(calling), tools: [TOOL] });
  const remembered = await make(address, ASKED, after(told));
  const kinds = calling.output.map((item) => item.type);
  return { kinds, told: told.output_text, remembered: remembered.output_text };
}

export const callsTools = (address) => called(address, create);

export const callsToolsStreamed = (address) => called(address, finished);

export async function callsToolsInAConversation(address) {
  const { id } = await clientOf(address).conversations.create({});
  return called(address, finished, { conversation: id });
}

// Everything is sent again and nothing is kept: the output of one response is input of the next.
export async function callsToolsUnstored(address) {
  const more = { store: false, tools: [TOOL], reasoning: { effort: 'high' }, include: ['reasoning.encrypted_content'] };
  const question = { role: 'user', content: QUESTION.input };
  const calling = await create(address, [question], more);
  const told = await create(address, [question, ...calling.output, ...resultsOf(calling)], more);
  const gone = await thrown(() => clientOf(address).responses.retrieve(calling.id));
  return { kinds: calling.output.map((item) => item.type), told: told.output_text, gone: gone.status };
}

export async function toldAgain(address) {
  const { responses } = clientOf(address);
  const events = await all(await responses.create({ ...QUESTION, stream: true }));
  const { id } = events.at(-1).response;
  const again = await all(await responses.retrieve(id, { stream: true }));
  const rest = await all(await responses.retrieve(id, { stream: true, starting_after: 3 }));
  const stream = responses.stream({ response_id: id, starting_after: 3 });
  const helped = await all(stream);
  const final = await stream.finalResponse();
  return { events, again, rest, helped: helped.map((each) => each.sequence_number), id: final.id === id };
}

export async function inTheBackground(address) {
  const { responses } = clientOf(address);
  const queued = await responses.create({ model: MODEL, input: 'Hello', background: true });
  let found = queued;
  while (['queued', 'in_progress'].includes(found.status)) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    found = await responses.retrieve(queued.id);
  }
  return { first: queued.status, last: found.status, said: found.output_text };
}

export async function cancelled(address) {
  const { responses } = clientOf(address);
  const stream = await responses.create({ model: MODEL, input: 'Hello', background: true, stream: true });
  let id;
  for await (const event of stream) {
    id ??= event.response.id;
    if (event.type === 'response.output_text.delta') break;
  }
  const { status } = await responses.cancel(id);
  const events = await all(await responses.retrieve(id, { stream: true }));
  return { status, last: events.at(-1).type };
}

export async function kept(address) {
  const { responses } = clientOf(address);
  const first = await responses.create({ model: MODEL, input: NAMED, metadata: { topic: 'names' } });
  const second = await responses.create({ model: MODEL, input: ASKED, previous_response_id: first.id });
  const fetched = await responses.retrieve(first.id);
  const items = await all(responses.inputItems.list(second.id, { limit: 1, order: 'asc' }));
  await responses.delete(first.id);
  const gone = await thrown(() => responses.retrieve(first.id));
  return { same: JSON.stringify(fetched) === JSON.stringify(first), items, gone, topic: fetched.metadata.topic };
}

export async function counted(address) {
  const { responses } = clientOf(address);
  const first = await responses.create({ model: MODEL, input: NAMED });
  const counting = await responses.inputTokens.count({
    model: MODEL,
    input: ASKED,
    previous_response_id: first.id,
  });
  const compacted = await responses.compact({ model: MODEL, previous_response_id: first.id });
  await responses.create({ model: MODEL, input: [...compacted.output, { role: 'user', content: ASKED }] });
  return { counting, kinds: compacted.output.map((item) => item.type) };
}

export async function typed(address) {
  const person = z.object({ name: z.string(), age: z.number() });
  const text = { format: zodTextFormat(person, 'person') };
  const { responses } = clientOf(address);
  const given = { model: MODEL, input: 'Who?', text };
  const whole = await responses.parse(given);
  const streamed = await responses.stream(given).finalResponse();
  return [whole.output_parsed, streamed.output_parsed];
}

export function seesPictures(address) {
  const content = [
    { type: 'input_text', text: 'What is it?' },
    { type: 'input_image', image_url: 'https://example.com/cat.png', detail: 'auto' },
  ];
  return create(address, [{ role: 'user', content }]);
}

export const refused = (address) => thrown(() => create(address, 'Hello'));

export const refusedForWhatItFollows = (address) =>
  thrown(() => create(address, 'Hello', { previous_response_id: 'resp_unheard_of' }));

export const refusedForItsConversation = (address) =>
  thrown(() => create(address, 'Hello', { conversation: 'conv_unheard_of' }));

export const refusedForItsId = (address) => thrown(() => clientOf(address).responses.retrieve('resp_unheard_of'));

export const refusedForItsBody = (address) => thrown(() => create(address, 42));

export async function refusedWhereItIsBusy(address) {
  const { id } = await clientOf(address).conversations.create({});
  const first = create(address, 'Hello', { conversation: id });
  await new Promise((resolve) => setTimeout(resolve, 600));
  const found = await thrown(() => create(address, 'Hello', { conversation: id }));
  return { found, said: (await first).output_text };
}

export const brokenOff = async (address) => ({
  events: (await all(await create(address, 'Hello', { stream: true }))).map((each) => each.type),
  helped: (await finished(address, 'Hello')).status,
});

export async function givesUpAndRepeats(address) {
  const { id } = await clientOf(address).conversations.create({});
  const given = { timeout: 1500, maxRetries: 3 };
  const told = await clientOf(address, given).responses.create({ model: MODEL, input: NAMED, conversation: id });
  const { data } = await clientOf(address).conversations.items.list(id, { order: 'asc' });
  return { said: told.output_text, items: data.map((item) => item.role) };
}

export async function leaves(address) {
  const stream = await create(address, 'Hello', { stream: true });
  for await (const event of stream) {
    if (event.type === 'response.output_text.delta') break;
  }
  return stream.controller.signal.aborted;
}
