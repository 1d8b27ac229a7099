// The AI SDK: responses, and what of chat completions it uses.
import { createOpenAI } from '@ai-sdk/openai';
import { generateText, isStepCount, jsonSchema, Output, streamText, tool } from 'ai';
import { all, ASKED, clientOf, MODEL, NAMED } from './gateway.mjs';

const providerOf = (address) => createOpenAI({ baseURL: `${address}/v1`, apiKey: 'none' });
const modelOf = (address) => providerOf(address).responses(MODEL);
const options = (openai) => ({ providerOptions: { openai } });
const idOf = (result) => result.providerMetadata.openai.responseId;
const newConversation = async (address) => (await clientOf(address).conversations.create({})).id;

const weather = tool({
  description: 'The weather in a city.',
  inputSchema: jsonSchema({
    type: 'object',
    properties: { city: { type: 'string' } },
    required: ['city'],
    additionalProperties: false,
  }),
  execute: ({ city }) => `It is sunny in ${city}.`,
});
const TOOLS = { tools: { weather }, stopWhen: isStepCount(5) };

// Whole or streamed, the same is to be told.
const generated = (given) => generateText({ maxRetries: 0, ...given });

async function streamed(given) {
  const failures = [];
  const result = streamText({ maxRetries: 0, onError: ({ error }) => failures.push(error), ...given });
  const words = (await all(result.textStream)).join('');
  if (failures.length) throw failures[0];
  const [text, steps, response, usage, finishReason] = await Promise.all([
    result.text,
    result.steps,
    result.response,
    result.usage,
    result.finishReason,
  ]);
  const { providerMetadata, reasoningText } = steps.at(-1);
  return { text, words, steps, response, usage, finishReason, providerMetadata, reasoningText };
}

// Each behaviour twice: NAME and NAMEStreamed.
const WAYS = { '': generated, Streamed: streamed };

const BEHAVIOURS = {
  async answers(ask, address) {
    const { text, words, usage, finishReason, providerMetadata } = await ask({
      model: modelOf(address),
      instructions: 'Be brief.',
      prompt: 'Hello',
      temperature: 0.5,
      maxOutputTokens: 100,
    });
    return { text, words: words ?? text, usage, finishReason, id: providerMetadata.openai.responseId };
  },

  async thinks(ask, address) {
    const given = options({ reasoningEffort: 'high', reasoningSummary: 'auto', forceReasoning: true });
    const { text, reasoningText } = await ask({ model: modelOf(address), prompt: 'Hello', ...given });
    return { text, reasoningText };
  },

  async follows(ask, address) {
    const model = modelOf(address);
    const first = await ask({ model, prompt: NAMED });
    const given = options({ previousResponseId: idOf(first) });
    return (await ask({ model, prompt: ASKED, ...given })).text;
  },

  async conversation(ask, address) {
    const given = { model: modelOf(address), ...options({ conversation: await newConversation(address) }) };
    await ask({ ...given, prompt: NAMED });
    return (await ask({ ...given, prompt: ASKED })).text;
  },

  async forgets(ask, address) {
    const model = modelOf(address);
    await ask({ model, prompt: NAMED });
    return (await ask({ model, prompt: ASKED })).text;
  },

  callsTools: (ask, address) => called(ask, address, {}),

  callsToolsUnstored: (ask, address) => called(ask, address, { store: false }),

  async callsToolsAfterAResponse(ask, address) {
    const first = await ask({ model: modelOf(address), prompt: NAMED });
    return called(ask, address, { previousResponseId: idOf(first) });
  },

  async callsToolsInAConversation(ask, address) {
    const conversation = await newConversation(address);
    await ask({ model: modelOf(address), prompt: NAMED, ...options({ conversation }) });
    const told = await called(ask, address, { conversation });
    const { data } = await clientOf(address).conversations.items.list(conversation, { order: 'asc', limit: 100 });
    return { ...told, kinds: data.map((item) => item.role ?? item.type) };
  },

  // The history is the application's; of its own answers the package sends only the ids.
  async refersToItsAnswers(ask, address) {
    const model = modelOf(address);
    const question = { role: 'user', content: NAMED };
    const first = await ask({ model, messages: [question] });
    const after = { role: 'user', content: ASKED };
    return (await ask({ model, messages: [question, ...first.response.messages, after] })).text;
  },

  async typed(ask, address) {
    const schema = jsonSchema({
      type: 'object',
      properties: { name: { type: 'string' }, age: { type: 'number' } },
      required: ['name', 'age'],
      additionalProperties: false,
    });
    const { text } = await ask({ model: modelOf(address), prompt: 'Who?', output: Output.object({ schema }) });
    return JSON.parse(text);
  },

  async seesPictures(ask, address) {
    const content = [
      { type: 'text', text: 'What is it?' },
      { type: 'file', data: new URL('https://example.com/cat.png'), mediaType: 'image/png' },
    ];
    return (await ask({ model: modelOf(address), messages: [{ role: 'user', content }] })).text;
  },

  async leaves(ask, address) {
    const leaving = new AbortController();
    const onChunk = ({ chunk }) => chunk.type === 'text-delta' && leaving.abort();
    if (ask === generated) setTimeout(() => leaving.abort(), 3000);
    const given = ask === streamed ? { onChunk } : {};
    return failed(() => ask({ model: modelOf(address), prompt: 'Hello', abortSignal: leaving.signal, ...given }));
  },

  refused: (ask, address) => failed(() => ask({ model: modelOf(address), prompt: 'Hello' })),

  refusedForWhatItFollows: (ask, address) =>
    failed(() =>
      ask({ model: modelOf(address), prompt: 'Hello', ...options({ previousResponseId: 'resp_unheard_of' }) }),
    ),

  async remembersOnChatCompletions(ask, address) {
    const given = { model: providerOf(address).chat(MODEL), headers: { 'X-Conversation-Id': 'c1' } };
    await ask({ ...given, prompt: NAMED });
    return (await ask({ ...given, prompt: ASKED })).text;
  },

  async callsToolsOnChatCompletions(ask, address) {
    const model = providerOf(address).chat(MODEL);
    const { text, steps } = await ask({ model, prompt: 'How is the weather?', ...TOOLS });
    return { text, steps: steps.length };
  },
};

async function called(ask, address, openai) {
  const given = { model: modelOf(address), ...TOOLS, ...options(openai) };
  const { text, steps } = await ask({ ...given, prompt: 'How is the weather?' });
  return { text, steps: steps.length };
}

async function failed(call) {
  try {
    await call();
  } catch (error) {
    const { name, statusCode, isRetryable, message } = error;
    return { name, statusCode, isRetryable, message, code: error.data?.error?.code };
  }
  return null;
}

export default Object.fromEntries(
  Object.entries(BEHAVIOURS).flatMap(([name, behave]) =>
    Object.entries(WAYS).map(([way, ask]) => [name + way, (address) => behave(ask, address)]),
  ),
);
