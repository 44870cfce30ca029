import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { App } from './app.tsx';
import { probeCapability } from './client/capability.ts';
import { loadDemoSets } from './client/demo-sets.ts';
import { followChoices } from './client/follow-choices.ts';
import { guardRuns } from './client/guards.ts';
import './ui/styles/tokens.css';
import './ui/styles/base.css';
import './ui/styles/layout.css';
import './ui/styles/controls.css';
import './ui/styles/data.css';
import './ui/styles/run.css';
import './ui/styles/kept.css';
import './ui/styles/examples.css';

// A file dropped beside its place must not replace the page, and the run with it.
for (const name of ['dragover', 'drop']) window.addEventListener(name, (event) => event.preventDefault());

const root = document.getElementById('root');
if (root !== null)
  createRoot(root).render(
    <StrictMode>
      <App />
    </StrictMode>,
  );
void loadDemoSets();
void probeCapability();
guardRuns();
followChoices();
