import Core
import Testing

private let loopback6 = IPAddress(high: 0, low: 1)
private let documentation6 = IPAddress(high: 0x2001_0db8_0000_0000, low: 1)

private let hosts: [(String, Target.Kind)] = [
  ("db", .name([UInt8]("db"))), ("DB.Example.COM", .name([UInt8]("db.example.com"))),
  ("db.example.", .name([UInt8]("db.example"))), ("my_db-1", .name([UInt8]("my_db-1"))),
  ("1db", .name([UInt8]("1db"))), ("1.2.3.4a", .name([UInt8]("1.2.3.4a"))),
  ("10.0.0.1", .address(ipv4(0x0a00_0001))), ("::1", .address(loopback6)),
  ("[::1]", .address(loopback6)), ("2001:DB8::1", .address(documentation6)),
  ("::ffff:10.0.0.1", .address(ipv4(0x0a00_0001))),
  ("[::ffff:10.0.0.1]", .address(ipv4(0x0a00_0001))),
  ("169.254.170.2", .address(ipv4(0xa9fe_aa02))),
]

@Test(arguments: hosts)
func aHostIsANameOrAnAddress(value: String, kind: Target.Kind) throws {
  let target = try parse(proxy(["TARGET_HOST": value])).forwards[0].target
  #expect(target.kind == kind)
  #expect(text(target.host) == value.filter { $0 != "[" && $0 != "]" })
}

private let numbers =
  ": IPv4 is four numbers from 0 to 255 without leading zeros, no name ends in a number"
private let letters = ": a name has only letters, digits, hyphens, underscores and dots"
private let lengths = ": a name has at most 253 characters, and 1 to 63 before each dot"

@Test(arguments: [
  ("db:5432", " without a port: write TARGET_HOST=db and TARGET_PORT=5432"),
  ("db:05432", " without a port: write TARGET_HOST=db and TARGET_PORT=5432"),
  ("db:", " without a port: write TARGET_HOST=db"),
  ("db:x", " without a port: write TARGET_HOST=db"), (":5432", " without a port"),
  ("10.0.0.1:5432", " without a port: write TARGET_HOST=10.0.0.1 and TARGET_PORT=5432"),
  ("[::1]:5432", " without a port: write TARGET_HOST=::1 and TARGET_PORT=5432"),
  ("mysql://db", " without a scheme: write TARGET_HOST=db"),
  ("mysql://db:3306", " without a scheme: write TARGET_HOST=db and TARGET_PORT=3306"),
  ("http://[::1]:80", " without a scheme: write TARGET_HOST=::1 and TARGET_PORT=80"),
  ("mysql://", " without a scheme"), ("%eth0", letters),
  ("fe80::1%eth0", " without a zone (from % on), which is not supported"),
  ("[fe80::1%25eth0]", " without a zone (from % on), which is not supported"),
  ("fe80::1", ", not a link-local one (fe80::/10): it needs a zone, which is not supported"),
  ("febf::1", ", not a link-local one (fe80::/10): it needs a zone, which is not supported"),
  ("0.0.0.0", ", not 0.0.0.0 or ::, which are for listening only"),
  ("::", ", not 0.0.0.0 or ::, which are for listening only"),
  ("[::]", ", not 0.0.0.0 or ::, which are for listening only"),
  ("::ffff:0.0.0.0", ", not 0.0.0.0 or ::, which are for listening only"),
  ("224.0.0.1", ", not a multicast or broadcast address"),
  ("239.255.255.255", ", not a multicast or broadcast address"),
  ("255.255.255.255", ", not a multicast or broadcast address"),
  ("ff02::1", ", not a multicast or broadcast address"),
  ("1.2.3", numbers), ("256.1.1.1", numbers), ("010.0.0.1", numbers), ("12345", numbers),
  ("1.2.3.4.5", numbers), ("1.2.3.4.", numbers), ("db.1", numbers),
  ("1::2::3", ", and with colons in it this would be an IPv6 address"),
  ("2001:db8::g", ", and with colons in it this would be an IPv6 address"),
  ("[db]", " with brackets around an IPv6 address only"),
  ("[10.0.0.1]", " with brackets around an IPv6 address only"),
  ("[::1]x", " with brackets around an IPv6 address only"), ("[db", letters), ("db]", letters),
  ("d*b", letters), ("db,db2", letters), ("\u{a0}db", letters), ("dä", letters),
  (".", lengths), ("a..b", lengths), (".a", lengths), ("a..", lengths),
])
func anythingElseIsNoHost(value: String, reason: String) {
  var shown: [UInt8] = []
  shown.append(quoted: [UInt8](value.utf8)[...])
  let line = "TARGET_HOST=\(text(shown)): expected a host name or an IP address\(reason)"
  #expect(complaints(about: proxy(["TARGET_HOST": value])) == [line])
}

@Test func aNameHasItsLengths() throws {
  let label = String(repeating: "a", count: 63)
  let name = "\(label).\(label).\(label).\(String(repeating: "b", count: 61))"
  #expect(name.utf8.count == 253)
  #expect(try parse(proxy(["TARGET_HOST": name])).forwards.count == 1)
  #expect(try parse(proxy(["TARGET_HOST": name + "."])).forwards.count == 1)
  for long in [label + "a", "a.\(label)a.b", name + "b"] {
    #expect(complaints(about: proxy(["TARGET_HOST": long])).first?.hasSuffix(lengths) == true)
  }
}

@Test(arguments: [
  ("my db", "my...", " without spaces"),
  ("db/x", "db...", " without a path: write TARGET_HOST=db"),
  ("mysql://db/x", "mysql://db...", " without a scheme: write TARGET_HOST=db"),
  (
    "jdbc:mysql://db:3306/x", "jdbc:mysql:...",
    " without a scheme: write TARGET_HOST=db and TARGET_PORT=3306"
  ),
  ("host=db port=1", "host...", " without spaces"),
])
func whatComesAfterAHostIsNotShown(value: String, shown: String, reason: String) {
  #expect(
    complaints(about: proxy(["TARGET_HOST": value])) == [
      "TARGET_HOST=\"\(shown)\": expected a host name or an IP address\(reason)"
    ])
}

@Test(arguments: [
  ("mysql://user:hunter2@db:3306", "mysql://***@db:3306", " and TARGET_PORT=3306"),
  ("mysql://user:hunter2@db/x?password=hunter2", "mysql://***@db...", ""),
  ("user:hunter2@db", "***@db", ""), ("user:hun@ter2@db", "***@db", ""),
])
func aURLWithAPasswordIsExplainedWithoutIt(value: String, shown: String, port: String) throws {
  let line = try #require(complaints(about: proxy(["TARGET_HOST": value])).first)
  #expect(line.hasPrefix("TARGET_HOST=\"\(shown)\": "))
  #expect(line.hasSuffix(": write TARGET_HOST=db\(port)"))
}

@Test(arguments: [
  "mysql://user:SECRET@db:3306", "postgres://SECRET@db", "user:SECRET@tcp(db:3306)/name",
  "user:SEC/RET@db", "mysql://user:p?SECRET@db", "mysql://user:a#SECRET@db", "u:a SECRET@db",
  "mysql://db/x?user=u&password=SECRET", "mysql://db/?password=a@SECRET", "db;password=SECRET",
  "host=db password=SECRET", "jdbc:oracle:thin:scott/SECRET@//db:1521/x", "Server=db;Pwd=SECRET",
  "jdbc:sqlserver://db:1433;user=x;password=SECRET", "redis://:SECRET@db:6379/0", "db#SECRET",
  "mysql -h db -pSECRET", "mysql://user:SECRET@", "https://db/SECRET/x@y", " u:SECRET@db ",
  "user:p://SECRET@db", "u:a,SECRET@db", "u:SECRET,b@db", "5432=u:SECRET@db:1", "db\tSECRET",
  "db?password=a,SECRET",
])
func noSecretIsShown(value: String) {
  for variable in ["TARGET_HOST", "TARGET_PORT", "LISTEN_HOST", "MODE", "CONNECT_TIMEOUT"] {
    let lines = complaints(about: proxy([variable: value]))
    #expect(!lines.isEmpty)
    for line in lines { #expect(!line.contains("SEC") && !line.contains("RET")) }
  }
  for list in [value, "5432=\(value)", "1=a:1,5432=\(value),2=b:2"] {
    let lines = complaints(about: ["FORWARDS": list])
    #expect(!lines.isEmpty)
    for line in lines { #expect(!line.contains("SEC") && !line.contains("RET")) }
  }
}

@Test(arguments: 0..<20) func nothingBeforeAnAtSignIsShown(seed: UInt64) {
  var random = SeededGenerator(seed: seed)
  for _ in 0..<300 {
    let parts = (0..<3).map { _ in text(random.bytes(from: "ab1:/@?#=;& ,.[]", count: 0...8)) }
    let value = "\(parts[0])hunter2\(parts[1])@\(parts[2])"
    for environment in [proxy(["TARGET_HOST": value]), ["FORWARDS": value], ["MODE": value]] {
      let lines = complaints(about: environment)
      #expect(!lines.isEmpty && lines.allSatisfy { !$0.contains("hunter2") })
    }
  }
}

@Test func aLineIsPrintableAndNotTooLong() {
  let value = "\n\u{1b}[31m\"\\ä" + String(repeating: "x", count: 100_000)
  let lines = complaints(about: proxy(["LOG_LEVEL": value]))
  #expect(
    lines == [
      "LOG_LEVEL=\"\\n\\x1b[31m\\\"\\\\\\xc3\\xa4" + String(repeating: "x", count: 70)
        + "\"...: expected no space or line break before or after the value"
    ])
}

@Test(arguments: [
  ("localhost", "", 8080), ("LocalHost.", "", 8080), ("db.localhost", "", 8080),
  ("127.0.0.1", "", 8080), ("127.9.9.9", "", 8080), ("::1", "", 8080), ("127.0.0.1", "::", 8080),
  ("127.0.0.1", "0.0.0.0", 8080), ("::1", "::", 8080), ("127.0.0.1", "127.0.0.1", 8080),
  ("localhost", "::1", 8080), ("10.0.0.1", "10.0.0.1", 8080),
])
func aTargetThatIsOurselvesIsALoop(host: String, listen: String, port: Int) {
  let environment = proxy(["TARGET_HOST": host, "TARGET_PORT": "\(port)", "LISTEN_HOST": listen])
  #expect(
    complaints(about: environment) == [
      "TARGET_HOST=\"\(host)\": expected a target other than this program, "
        + "which listens on port 8080"
    ])
  #expect(complaints(about: environment.merging(["MODE": "sleep"]) { _, new in new }).isEmpty)
}

@Test(arguments: [
  ("localhost", "", "8081"), ("localhost", "10.0.0.1", "8080"), ("127.0.0.1", "127.0.0.2", "8080"),
  ("::1", "0.0.0.0", "8080"), ("::1", "127.0.0.1", "8080"), ("10.0.0.1", "", "8080"),
  ("localhost.example", "", "8080"), ("notlocalhost", "", "8080"),
])
func aTargetThatCannotBeOurselvesIsNone(host: String, listen: String, port: String) {
  #expect(
    complaints(about: ["TARGET_HOST": host, "TARGET_PORT": port, "LISTEN_HOST": listen]).isEmpty)
}
