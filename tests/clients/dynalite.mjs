// dynalite on 127.0.0.1, on the port of the first argument (0: any), in the directory of the second (none: in memory).
// It prints where it listens. Its own command line takes no port 0.
import dynalite from 'dynalite'

const [port = '0', path] = process.argv.slice(2)
const server = dynalite({ path, createTableMs: 0, deleteTableMs: 0 })
server.listen(Number(port), '127.0.0.1', () => {
  console.log(`Running on http://127.0.0.1:${server.address().port}`)
})
