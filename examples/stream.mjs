// Updates over a WebSocket while a history is simulated. Node.js 22 has WebSocket; Node.js 20 with --experimental-websocket.
const url = (process.env.PANTREE_URL ?? 'http://localhost:8000').replace(/^http/, 'ws');
const key = process.env.PANTREE_API_KEY;
const socket = new WebSocket(`${url}/ws/stream/household-1`, key ? ['pantree', `bearer.${key}`] : []);

socket.onopen = () => socket.send(JSON.stringify({
  items: [{name: 'Bananas', price: 1.99}, {name: 'Milk', price: 5.49}],
  archetype: 'health_conscious',
  seed: 3,
}));

socket.onmessage = (event) => {
  const message = JSON.parse(event.data); // started, then monthly_update for every month, then completed; or error
  if (message.type === 'monthly_update') console.log(message.data.month_display, message.data.progress);
  if (message.type === 'completed') {
    for (const item of message.data.recommendations.recommendations) {
      console.log(item.name, item.subscription.frequency);
    }
    socket.close();
  }
  if (message.type === 'error') {
    console.error(message.error);
    process.exitCode = 1;
    socket.close();
  }
};

socket.onerror = () => {
  console.error(`no connection to ${url}; is pantree up running?`);
  process.exitCode = 1;
};
