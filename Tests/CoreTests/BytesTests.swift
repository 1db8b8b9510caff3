import Core
import Testing

@Test func numbersAreWrittenInFull() {
  var bytes: [UInt8] = []
  for number: UInt64 in [0, 9, 10, 12345, .max] {
    bytes.append(decimal: number)
    bytes.append(" ")
  }
  bytes.append(hex: 0, width: 1)
  bytes.append(hex: 0xabc, width: 1)
  bytes.append(hex: 0xf, width: 4)
  #expect(text(bytes) == "0 9 10 12345 18446744073709551615 0abc000f")
}

@Test func quotedBytesArePrintable() {
  var bytes: [UInt8] = []
  bytes.append(quoted: [UInt8]("a \"\\\n\t\r\0\u{7f}é~".utf8)[...])
  #expect(text(bytes) == #""a \"\\\n\t\x0d\x00\x7f\xc3\xa9~""#)
}

@Test func onlyTheCaseOfLettersIsIgnored() {
  let name = [UInt8]("Db.Example-1")
  #expect(name.equalsIgnoringCase([UInt8]("dB.eXAMPLE-1")))
  #expect(!name.equalsIgnoringCase([UInt8]("db.example-")))
  #expect(![UInt8]("[").equalsIgnoringCase([UInt8]("{")))
  #expect(![UInt8]("@").equalsIgnoringCase([UInt8]("`")))
  #expect(name.equals("Db.Example-1") && !name.equals("db.example-1"))
}
