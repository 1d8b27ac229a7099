// What does one client see? node run.mjs FILE NAME ADDRESS MODEL: calls the function NAME of FILE, prints what it returns.
const [file, name, address] = process.argv.slice(2);
const { default: behaviours, ...functions } = await import(`./${file}.mjs`);
console.log(JSON.stringify(await (behaviours ?? functions)[name](address)));
