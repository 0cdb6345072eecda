package javax.annotation;

/** Stands in for the annotation of jakarta.annotation-api, which generated clients carry. */
public @interface Generated {
    String[] value();

    String date() default "";

    String comments() default "";
}
