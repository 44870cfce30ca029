import { useStore } from 'zustand';
import { fetchFromServer, listServer } from '../../client/server-checkpoints.ts';
import { formatBytes, formatTime } from '../../i18n/format.ts';
import { t } from '../../i18n/index.ts';
import { keptStore } from '../../stores/kept-store.ts';
import { isRelayAddress, RELAY_ADDRESS, type ServerRow, serverStore } from '../../stores/server-store.ts';
import { Button } from '../../ui/button.tsx';
import { Disclosure } from '../../ui/disclosure.tsx';
import { TextField } from '../../ui/text-field.tsx';

/** What lies on a training server: listed through a relay, and fetched to be looked at like a dropped file. */
export function ServerList() {
  const { address, rows } = useStore(serverStore);
  const busy = useStore(keptStore, (state) => state.busy !== null);
  const wrong = !isRelayAddress(address.trim());
  const ask = (): void => {
    if (!wrong && !busy) void listServer();
  };
  return (
    <Disclosure title={t('server.title')}>
      <p className="small quiet">{t('server.hint')}</p>
      <code className="command">{`npx lorikeet relay --target URL --allow-origin ${location.origin}`}</code>
      <TextField
        label={t('server.address')}
        hint={t('server.addressHint')}
        problem={wrong ? t('server.addressProblem', { example: RELAY_ADDRESS }) : undefined}
        value={address}
        onChange={(text) => serverStore.setState({ address: text })}
        onEnter={ask}
      >
        <Button unavailable={wrong || busy} label={t('server.listAll')} onPress={ask}>
          {t('server.list')}
        </Button>
      </TextField>
      {rows === null ? null : <ServerTable rows={rows} busy={busy} />}
    </Disclosure>
  );
}

function ServerTable({ rows, busy }: { rows: readonly ServerRow[]; busy: boolean }) {
  if (rows.length === 0) return <p className="quiet">{t('server.none')}</p>;
  return (
    <>
      <div className="table-frame">
        <table className="kept-table" aria-label={t('server.title')}>
          <thead>
            <tr>
              <th scope="col">{t('kept.colName')}</th>
              <th scope="col">{t('kept.colRun')}</th>
              <th scope="col">{t('kept.colSize')}</th>
              <th scope="col">{t('kept.colSaved')}</th>
              <th scope="col">
                <span className="visually-hidden">{t('server.fetch')}</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {rows.map((row) => (
              <ServerTableRow key={row.path} row={row} busy={busy} />
            ))}
          </tbody>
        </table>
      </div>
      {rows.some(({ isSampler }) => !isSampler) ? (
        <p className="small quiet">{t('server.staysHint')}</p>
      ) : null}
    </>
  );
}

function ServerTableRow({ row, busy }: { row: ServerRow; busy: boolean }) {
  const { name, run, isSampler, size, createdAt } = row;
  return (
    <tr>
      <th scope="row">
        <span className="kept-name">{name}</span>
        <span className="badge">{t(isSampler ? 'kept.adapterOnly' : 'server.state')}</span>
      </th>
      <td data-label={t('kept.colRun')}>{run}</td>
      <td data-label={t('kept.colSize')}>{size === null ? '' : formatBytes(size)}</td>
      <td data-label={t('kept.colSaved')}>{formatTime(createdAt)}</td>
      <td className="kept-actions">
        {isSampler ? (
          <Button
            unavailable={busy}
            label={t('server.fetchOf', { name, run })}
            onPress={() => void fetchFromServer(row)}
          >
            {t('server.fetch')}
          </Button>
        ) : (
          <span className="small quiet">{t('server.stays')}</span>
        )}
      </td>
    </tr>
  );
}
