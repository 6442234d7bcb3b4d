import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Speaks SPICE's language and nothing more: reads the input file that SPICE reads, takes the options that SPICE
 * takes, and writes the output file that SPICE writes. Its score is 1.0 where the caption is one of its references,
 * 0.5 where it is not, and NaN where the caption is "unparsable". Compiled by: javac --release 8 StandIn.java
 */
public class StandIn {
    public static void main(String[] args) throws Exception {
        List<String> options = new ArrayList<>();
        for (String a : args) options.add(a);
        if (!options.contains("-subset") || !options.contains("-silent") || !options.contains("-cache")) {
            throw new IllegalArgumentException("missing option");
        }
        Path out = Paths.get(options.get(options.indexOf("-out") + 1));
        String in = new String(Files.readAllBytes(Paths.get(args[0])), "UTF-8");
        if (in.contains("please fail")) throw new IllegalStateException("asked to fail");
        Pattern item = Pattern.compile(
            "\\{\"image_id\": (\\d+), \"test\": \"([^\"]*)\", \"refs\": \\[([^\\]]*)\\]\\}");
        StringBuilder json = new StringBuilder("[");
        Matcher m = item.matcher(in);
        while (m.find()) {
            boolean same = m.group(3).contains("\"" + m.group(2) + "\"");
            String f = m.group(2).equals("unparsable") ? "NaN" : same ? "1.0" : "0.5";
            if (json.length() > 1) json.append(", ");
            json.append("{\"image_id\": ").append(m.group(1));
            json.append(", \"scores\": {\"All\": {\"pr\": 1.0, \"re\": 1.0, \"f\": ").append(f).append("}}}");
        }
        Files.write(out, json.append("]").toString().getBytes("UTF-8"));
    }
}
