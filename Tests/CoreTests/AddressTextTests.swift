import Core
import Testing

@Test(arguments: [
  ("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "0.0.0.0"), ("255.255.255.255", "255.255.255.255"),
  ("::", "::"), ("::1", "::1"), ("1::", "1::"), ("2001:DB8::00ab", "2001:db8::ab"),
  ("1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"), ("1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"),
  ("::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"), ("1:0:0:2:0:0:0:3", "1:0:0:2::3"),
  ("1:0:0:2:3:0:0:4", "1::2:3:0:0:4"), ("::ffff:192.0.2.1", "192.0.2.1"),
  ("::ffff:c000:0201", "192.0.2.1"), ("64:ff9b::192.0.2.33", "64:ff9b::c000:221"),
  ("1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"), ("::1.2.3.4", "::102:304"),
])
func anAddressHasOneSpelling(written: String, canonical: String) throws {
  let address = try #require(IPAddress([UInt8](written.utf8)))
  #expect(text(of: address) == canonical)
  #expect(IPAddress([UInt8](canonical.utf8)) == address)
}

@Test(arguments: [
  "", "1", "1.2.3", "1.2.3.4.", ".1.2.3.4", "1.2.3.4.5", "256.1.1.1", "01.2.3.4", "1.2.3.04",
  "1.2..4", "+1.2.3.4", "1.2.3.0x4", " 1.2.3.4", "1.2.3.4 ", ":", ":::", "1:2:3:4:5:6:7",
  "1:2:3:4:5:6:7:8:9", "1::2::3", "1:2:3:4:5:6:7:8::", "::1:2:3:4:5:6:7:8", "1:2:3:4::5:6:7:8",
  "12345::", "::g", ":1:2:3:4:5:6:7", "1:2:3:4:5:6:7:", "1::2:", "[::1]", "fe80::1%eth0",
  "::1.2.3", "1.2.3.4::", "1:2:3:4:5:6:7:1.2.3.4", "::1.2.3.4:5", "::256.0.0.1",
])
func anythingElseIsNoAddress(written: String) {
  #expect(IPAddress([UInt8](written.utf8)) == nil)
}

@Test func onlyAnIPv6EndpointHasBrackets() {
  var bytes: [UInt8] = []
  bytes.append(Endpoint(address: IPAddress(ipv4: 0x0a00_0007), port: 51234))
  bytes.append(" ")
  bytes.append(Endpoint(address: IPAddress(high: 0, low: 1), port: 80))
  #expect(String(decoding: bytes, as: UTF8.self) == "10.0.0.7:51234 [::1]:80")
}

@Test(arguments: 0..<20) func everyAddressReadsBackAsItWasWritten(seed: UInt64) {
  var random = SeededGenerator(seed: seed)
  for _ in 0..<2000 {
    // Zero groups are what the short form is about: make them as likely as the others.
    var address = IPAddress(high: 0, low: 0)
    for shift in stride(from: UInt64(0), to: 64, by: 16) {
      if Bool.random(using: &random) { address.high |= random.next() & 0xffff << shift }
      if Bool.random(using: &random) { address.low |= random.next() & 0xffff << shift }
    }
    #expect(IPAddress([UInt8](text(of: address).utf8)) == address)
  }
}

@Test(arguments: 0..<20) func noBytesTrapTheAddressParser(seed: UInt64) {
  var random = SeededGenerator(seed: seed)
  for _ in 0..<5000 {
    let bytes = random.bytes(from: "0123456789abfF:.:.[]%\0\u{ff}", count: 0...45)
    guard let address = IPAddress(bytes) else { continue }
    #expect(IPAddress([UInt8](text(of: address).utf8)) == address)
  }
}

private func text(of address: IPAddress) -> String {
  var bytes: [UInt8] = []
  bytes.append(address)
  return String(decoding: bytes, as: UTF8.self)
}
