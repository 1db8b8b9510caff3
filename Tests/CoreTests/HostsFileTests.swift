import Core
import Testing

private let hosts = HostsFile(
  [UInt8](
    """
    # Comments, and lines of no use: 10.9.9.9 db
    127.0.0.1\tlocalhost
    10.0.0.1  db.example db\t# db2
      10.0.0.2 DB   db\r
    ::ffff:10.0.0.1 db
    2001:db8::1 db.example.
    fe80::1%eth0 db
    300.0.0.1 db
    10.0.0.3
    10.0.0.4#db
    10.0.0.5 dbx xdb
    127.0.0.53 elsewhere.localhost
    10.0.0.6 last
    """.utf8))

@Test(arguments: [
  ("db", [ipv4(0x0a00_0001), ipv4(0x0a00_0002)]), ("dB", [ipv4(0x0a00_0001), ipv4(0x0a00_0002)]),
  ("db.example", [ipv4(0x0a00_0001), IPAddress(high: 0x2001_0db8_0000_0000, low: 1)]),
  ("last", [ipv4(0x0a00_0006)]), ("db2", []), ("example", []), ("", []), ("10.0.0.5", []),
])
func theHostsFileListsAName(name: String, addresses: [IPAddress]) {
  #expect(hosts.addresses(of: [UInt8](name.utf8)) == addresses)
}

@Test(arguments: ["localhost", "LOCALHOST", "db.localhost", "elsewhere.localhost"])
func localhostIsAlwaysThisMachine(name: String) {
  let loopback = [ipv4(0x7f00_0001), IPAddress(high: 0, low: 1)]
  #expect(hosts.addresses(of: [UInt8](name.utf8)) == loopback)
  #expect(
    HostsFile([UInt8]("10.0.0.1 localhost".utf8)).addresses(of: [UInt8](name.utf8)) == loopback)
}

@Test(arguments: ["localhos", "xlocalhost", "localhost.example", "localhostx"])
func anotherNameIsNotLocalhost(name: String) {
  #expect(!isLocalhost([UInt8](name.utf8)))
  #expect(hosts.addresses(of: [UInt8](name.utf8)) == [])
}

@Test func aLongListEndsSomewhere() {
  let lines = (0..<100).map { "10.0.0.\($0) db\n" }.joined()
  let addresses = HostsFile([UInt8](lines.utf8)).addresses(of: [UInt8]("db"))
  #expect(addresses == (0..<32).map { ipv4(0x0a00_0000 + $0) })
}

@Test(arguments: 0..<20) func noBytesTrapTheHostsFile(seed: UInt64) {
  var random = SeededGenerator(seed: seed)
  for _ in 0..<300 {
    let bytes = random.bytes(from: "10.0.0.1 ::1 db\tdb.\n#\r\0", count: 0...300)
    #expect(HostsFile(bytes).addresses(of: [UInt8]("db")).count <= 32)
    _ = HostsFile(bytes).addresses(of: random.bytes(from: "db.", count: 0...4))
  }
}
