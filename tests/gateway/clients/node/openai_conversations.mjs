// Conversations and their items, by the official package.
import { all, ASKED, clientOf, MODEL, NAMED, thrown } from './gateway.mjs';

const message = (text, role = 'user') => ({ type: 'message', role, content: text });
const textOf = (item) => item.content[0].text;

export async function life(address) {
  const { conversations } = clientOf(address);
  const made = await conversations.create({ metadata: { topic: 'names' } });
  const updated = await conversations.update(made.id, { metadata: { topic: 'cats' } });
  const fetched = await conversations.retrieve(made.id);
  const deleted = await conversations.delete(made.id);
  const gone = await thrown(() => conversations.retrieve(made.id));
  return { made, updated, fetched, deleted, gone };
}

export async function items(address) {
  const { conversations } = clientOf(address);
  const { id } = await conversations.create({ items: [message(NAMED), message('Hello, Ada.', 'assistant')] });
  const added = await conversations.items.create(id, { items: [message('I like cats.')] });
  const item = await conversations.items.retrieve(added.data[0].id, { conversation_id: id });
  const before = (await conversations.items.list(id, { order: 'asc' })).data.map(textOf);
  const left = await conversations.items.delete(item.id, { conversation_id: id });
  const gone = await thrown(() => conversations.items.retrieve(item.id, { conversation_id: id }));
  const after = (await conversations.items.list(id, { order: 'asc' })).data.map(textOf);
  return { list: added.object, item: textOf(item), before, left: left.id === id, gone, after };
}

// The package asks for the next page by itself, until there is none.
export async function pages(address) {
  const { conversations } = clientOf(address);
  const words = Array.from({ length: 45 }, (_, number) => `message ${number}`);
  const { id } = await conversations.create({ items: words.slice(0, 20).map((each) => message(each)) });
  await conversations.items.create(id, { items: words.slice(20, 40).map((each) => message(each)) });
  await conversations.items.create(id, { items: words.slice(40).map((each) => message(each)) });
  const oldestFirst = await all(conversations.items.list(id, { order: 'asc', limit: 7 }));
  const newestFirst = await all(conversations.items.list(id));
  return { words, oldestFirst: oldestFirst.map(textOf), newestFirst: newestFirst.map(textOf) };
}

export async function seen(address) {
  const { conversations, responses } = clientOf(address);
  const { id } = await conversations.create({ items: [message(NAMED)] });
  const told = await responses.create({ model: MODEL, input: ASKED, conversation: id });
  const first = (await conversations.items.list(id, { order: 'asc', limit: 1 })).data[0];
  await conversations.items.delete(first.id, { conversation_id: id });
  const later = await responses.create({ model: MODEL, input: ASKED, conversation: id });
  const include = ['message.output_text.logprobs', 'reasoning.encrypted_content'];
  const { data } = await conversations.items.list(id, { order: 'asc', include });
  return { told: told.output_text, later: later.output_text, roles: data.map((item) => item.role) };
}

export async function refused(address) {
  const { conversations } = clientOf(address);
  const { id } = await conversations.create({});
  const many = Array.from({ length: 21 }, () => message('Hello'));
  return {
    conversation: await thrown(() => conversations.retrieve('conv_unheard_of')),
    item: await thrown(() => conversations.items.retrieve('msg_unheard_of', { conversation_id: id })),
    items: await thrown(() => conversations.items.list('conv_unheard_of')),
    many: await thrown(() => conversations.items.create(id, { items: many })),
  };
}
